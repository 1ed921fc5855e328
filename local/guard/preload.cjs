// Node loads this first (NODE_OPTIONS=--require): the same guard as in __init__.py, for Node's own network calls. What
// leaves is refused; a server may listen on any interface, since Node's servers do unless they are told otherwise.
"use strict";
const dgram = require("node:dgram");
const dns = require("node:dns");
const net = require("node:net");

function isLoopback(host) {
  if (host === undefined || host === null || host === "") return true; // Node's default is localhost
  const name = String(host).toLowerCase().replace(/\.$/, "").split("%")[0].replace(/^::ffff:/, "");
  return name === "localhost" || name === "::1" || /^127(\.\d+){3}$/.test(name);
}

function refuse(verb, host) {
  const error = new Error(`Refused to ${verb} ${host}: only this machine may be used here.`);
  error.name = "LeftLoopback";
  throw error;
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  // Node normalises its own calls to one array argument: [options, callback].
  const first = Array.isArray(args[0]) ? args[0][0] : args[0];
  const options = typeof first === "object" && first !== null ? first : undefined;
  const host = options ? options.host : typeof args[1] === "string" ? args[1] : undefined;
  // A Unix socket has a path; HTTP leaves it null for a host.
  const isFile = options ? Boolean(options.path) : typeof first === "string" && isNaN(first);
  if (!isFile && !isLoopback(host)) refuse("reach", host);
  return connect.apply(this, args);
};

function guardNames(target, mayPass) {
  for (const name of Object.getOwnPropertyNames(target).filter((key) => /^(lookup|resolve|reverse)/.test(key))) {
    const original = target[name];
    if (typeof original !== "function") continue;
    target[name] = function (host, ...rest) {
      if (!isLoopback(host) && !mayPass(name, host)) refuse("look up", host);
      return original.call(this, host, ...rest);
    };
  }
}

// A server looks up the address that it listens on. That of a number asks nobody; who connects to it is refused above.
const asksNobody = (name, host) => name === "lookup" && net.isIP(host) !== 0;
for (const target of [dns, dns.promises]) {
  guardNames(target, asksNobody);
  // A resolver of one's own has the same methods and none of the functions above.
  guardNames(target.Resolver.prototype, () => false);
}

const send = dgram.Socket.prototype.send;
dgram.Socket.prototype.send = function (...args) {
  const address = args.find((arg, index) => index > 0 && typeof arg === "string");
  if (!isLoopback(address)) refuse("reach", address);
  return send.apply(this, args);
};

// Newer versions of Node have a second one.
for (const name of ["connect", "connectSync"]) {
  const original = dgram.Socket.prototype[name];
  if (typeof original !== "function") continue;
  dgram.Socket.prototype[name] = function (port, address, ...rest) {
    if (typeof address === "string" && !isLoopback(address)) refuse("reach", address);
    return original.call(this, port, address, ...rest);
  };
}
