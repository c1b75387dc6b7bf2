// Colours for code: nodes made by hand out of what highlight.js found, so that
// no HTML of it is ever parsed.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = {
  bash, cpp, css, diff, go, java, javascript, json, python, rust, sql, swift,
  typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) {
  hljs.registerLanguage(name, language);
}

const MOST = 20000; // characters; longer code stays plain

interface Scope {
  scope?: string;
  children: (Scope | string)[];
}

function nodes(of: Scope, into: Node): void {
  for (const child of of.children) {
    if (typeof child === "string") {
      into.appendChild(document.createTextNode(child));
    } else {
      const span = document.createElement("span");
      if (child.scope) span.className = `hl-${child.scope.split(".")[0]}`;
      nodes(child, span);
      into.appendChild(span);
    }
  }
}

// Null: no colours for it.
export function highlight(code: string, lang: string): DocumentFragment | null {
  if (code.length > MOST || !hljs.getLanguage(lang)) return null;
  const found = hljs.highlight(code, { language: lang, ignoreIllegals: true });
  const tree = (found as unknown as { _emitter: { rootNode: Scope } })._emitter;
  const out = document.createDocumentFragment();
  nodes(tree.rootNode, out);
  return out.textContent === code ? out : null;
}
