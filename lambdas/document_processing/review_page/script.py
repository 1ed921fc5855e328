"""What the page does beyond a form: it would work without. Served inside it, under the nonce of its security policy."""

SCRIPT = """
"use strict";
const form = document.querySelector("form");
const marks = new Map([...document.querySelectorAll(".mark")].map((mark) => [mark.dataset.field, mark]));
function point(name) {
  for (const [field, mark] of marks) { mark.classList.toggle("current", field === name); }
}
form.addEventListener("focusin", (event) => {
  const name = event.target.name || "";
  point(name);
  const mark = marks.get(name);
  if (mark && window.matchMedia("(min-width: 56.01rem)").matches) { mark.scrollIntoView({ block: "center" }); }
});
for (const [field, mark] of marks) {
  mark.addEventListener("click", (event) => {
    event.preventDefault();
    const input = form.querySelector(`[name="${field}"]`);
    if (input) { input.focus(); }
  });
}
// Enter goes on to the next field; Ctrl and Enter, or Command and Enter, approves.
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.tagName === "BUTTON") { return; }
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    form.requestSubmit(form.querySelector(".approve"));
  } else if (event.target.tagName === "INPUT") {
    event.preventDefault();
    const stops = [...form.querySelectorAll("input, textarea, button")];
    stops[stops.indexOf(event.target) + 1].focus();
  }
});
// A second press while the answer is on its way would only meet a link that is used up.
form.addEventListener("submit", () => {
  setTimeout(() => { for (const button of form.querySelectorAll("button")) { button.disabled = true; } });
});
const first = form.querySelector("input[type=text], input[type=radio]");
if (first) { first.focus({ preventScroll: true }); }
"""
