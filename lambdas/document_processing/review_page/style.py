"""The look of the page. Served inside it, under the nonce of its security policy."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #16202c; --quiet: #55606e; --paper: #ffffff; --ground: #f2f4f7; --line: #d3d9e1;
  --doubt: #b54708; --doubt-soft: rgba(245, 158, 11, .22); --focus: #0b5fff; --good: #0a6b3d; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8edf3; --quiet: #a5b0bd; --paper: #1a2129; --ground: #10151b; --line: #37424f;
    --doubt: #fdb022; --doubt-soft: rgba(253, 176, 34, .22); --focus: #84adff; --good: #1f9d61; --bad: #e5675f;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 5rem; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
header { background: var(--paper); border-bottom: 1px solid var(--line); padding: 1rem clamp(1rem, 3vw, 2.5rem); }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0; }
header p { margin: .25rem 0 0; color: var(--quiet); max-width: 60rem; }
main {
  display: grid; grid-template-columns: minmax(0, 1.45fr) minmax(20rem, 1fr); gap: 1.5rem;
  padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 3rem; max-width: 110rem; margin: 0 auto; align-items: start;
}
h2 { font-size: 1rem; margin: 0 0 .75rem; }
.sheet {
  margin: 0 0 1.5rem; background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .75rem;
}
.sheet figcaption { color: var(--quiet); font-size: .9rem; padding: 0 .25rem .5rem; }
.picture { position: relative; }
.picture img { display: block; width: 100%; height: auto; border-radius: .25rem; background: #fff; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.mark rect { fill: var(--doubt-soft); stroke: #b54708; stroke-width: 3; }
.mark text { font: 600 24px system-ui, sans-serif; fill: #fff; }
.mark .tag { fill: #b54708; stroke: none; }
.mark.current rect { stroke: #0b5fff; stroke-width: 6; fill: rgba(11, 95, 255, .14); }
.mark.current .tag { fill: #0b5fff; }
.mark:focus-visible { outline: none; }
.mark:focus-visible rect { stroke: #0b5fff; stroke-width: 7; }
form {
  position: sticky; top: 1rem; max-height: calc(100vh - 2rem); overflow: auto; background: var(--paper);
  border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem;
}
.field { border: 0; border-left: .3rem solid var(--doubt); margin: 0 0 1.1rem; padding: .1rem 0 .1rem .9rem; }
.field.plain-field { border-left-color: var(--line); }
.field label, .label { display: block; font-weight: 600; }
.crop {
  display: block; width: 100%; max-height: 5.5rem; margin: 0 0 .5rem; background: #fff;
  border: 1px solid var(--line); border-radius: .3rem;
}
.hint { display: block; color: var(--quiet); font-size: .875rem; margin: 0 0 .35rem; }
.hint b { color: var(--doubt); }
input[type=text], textarea {
  width: 100%; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid #7c8794; border-radius: .4rem; padding: .55rem .7rem;
}
.choice { display: flex; gap: 1.25rem; flex-wrap: wrap; }
.choice label { font-weight: 400; display: flex; gap: .5rem; align-items: center; min-height: 2.5rem; }
.choice input { width: 1.2rem; height: 1.2rem; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.actions { display: flex; gap: .75rem; flex-wrap: wrap; margin-top: 1.25rem; }
button {
  font: inherit; font-weight: 600; min-height: 2.9rem; padding: .5rem 1.2rem; border-radius: .45rem;
  border: 1px solid transparent; cursor: pointer;
}
.approve { background: #0a6b3d; color: #fff; flex: 1 1 10rem; }
.reject { background: transparent; color: var(--bad); border-color: var(--bad); }
.keys { color: var(--quiet); font-size: .875rem; margin: 1rem 0 0; }
kbd {
  font: .8rem ui-monospace, Menlo, Consolas, monospace; border: 1px solid var(--line); border-radius: .25rem;
  padding: .05rem .3rem;
}
.notice {
  max-width: 38rem; margin: 12vh auto 0; background: var(--paper); border: 1px solid var(--line);
  border-top: .4rem solid var(--quiet); border-radius: .6rem; padding: 1.75rem;
}
.notice.good { border-top-color: var(--good); } .notice.bad { border-top-color: var(--bad); }
.notice p { margin: .6rem 0 0; }
@media (max-width: 56rem) {
  main { grid-template-columns: minmax(0, 1fr); padding-top: 1rem; gap: 1rem; }
  form { position: static; max-height: none; }
  .sheet { padding: .4rem; margin-bottom: .75rem; }
  .mark .tag, .mark text { display: none; }
  .mark rect { stroke-width: 5; }
  .actions button { flex: 1 1 100%; }
  .notice { margin: 1rem; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
"""
