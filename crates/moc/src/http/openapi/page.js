"use strict";

const make = (name, text, parent) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
};

const field = (parent, label, kind) => {
  const box = make("label", label + " ", parent);
  return make(kind || "input", undefined, box);
};

// An example of a schema: its required members, with the first value that fits.
const example = (schema, all, depth) => {
  if (!schema || depth > 4) return null;
  if (schema.$ref) return example(all[schema.$ref.split("/").pop()], all, depth + 1);
  const first = (schema.oneOf || schema.anyOf || []).find((each) => each.type !== "null");
  if (first) return first.const !== undefined ? first.const : example(first, all, depth + 1);
  if (schema.enum) return schema.enum[0];
  const type = [].concat(schema.type || "object")[0];
  if (type === "array") return [];
  if (type === "string") return "";
  if (type === "boolean") return false;
  if (type === "integer" || type === "number") return 0;
  const value = {};
  for (const name of schema.required || []) {
    value[name] = example(schema.properties[name], all, depth + 1);
  }
  return value;
};

const send = async (method, path, inputs, media, body, output) => {
  let target = path;
  const query = new URLSearchParams();
  for (const { place, name, input } of inputs) {
    if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(name, input.value);
  }
  if ([...query].length) target += "?" + query;
  const headers = {};
  const token = document.getElementById("token").value;
  if (token) headers.authorization = "Bearer " + token;
  const request = { method: method.toUpperCase(), headers };
  if (body) {
    headers["content-type"] = media;
    request.body = body.type === "file" ? body.files[0] : body.value;
  }
  try {
    const answer = await fetch(target, request);
    const type = answer.headers.get("content-type") || "";
    let text = type.includes("json") || type.includes("text")
      ? await answer.text()
      : `${(await answer.arrayBuffer()).byteLength} bytes of ${type || "nothing"}`;
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is not JSON */ }
    output.textContent = `${answer.status} ${answer.statusText}\n${text}`;
  } catch (error) {
    output.textContent = String(error);
  }
};

const show = (parent, method, path, operation, schemas) => {
  const box = make("details", undefined, parent);
  const head = make("summary", undefined, box);
  make("b", method, head);
  make("code", path, head);
  make("span", "  " + operation.summary, head);
  make("p", operation["x-scope"] ? "Needs " + operation["x-scope"] : "Open to everybody", box);
  const inputs = (operation.parameters || []).map((parameter) => ({
    place: parameter.in,
    name: parameter.name,
    input: field(box, `${parameter.name} ${parameter.description || ""}`),
  }));
  let media;
  let body;
  if (operation.requestBody) {
    media = Object.keys(operation.requestBody.content)[0];
    if (media === "application/json") {
      body = field(box, media, "textarea");
      const schema = operation.requestBody.content[media].schema;
      body.value = JSON.stringify(example(schema, schemas, 0), null, 2);
    } else {
      body = field(box, media);
      body.type = "file";
    }
  }
  const button = make("button", "Send", box);
  const output = make("pre", "", box);
  output.hidden = true;
  button.addEventListener("click", () => {
    output.hidden = false;
    send(method, path, inputs, media, body, output);
  });
  const table = make("table", undefined, box);
  for (const [status, answer] of Object.entries(operation.responses)) {
    const row = make("tr", undefined, table);
    make("th", status, row);
    make("td", answer.description, row);
  }
};

fetch("/openapi.json").then((answer) => answer.json()).then((api) => {
  const parent = document.getElementById("operations");
  const methods = Object.entries(api.paths).flatMap(([path, each]) =>
    Object.entries(each).map(([method, operation]) => ({ path, method, operation })));
  let tag;
  for (const { path, method, operation } of methods) {
    if (operation.tags[0] !== tag) {
      tag = operation.tags[0];
      make("h2", tag, parent);
    }
    show(parent, method, path, operation, api.components.schemas);
  }
});
