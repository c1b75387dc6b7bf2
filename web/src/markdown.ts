// One block of Markdown as nodes of the page. What a model or a person wrote is
// never trusted: its own HTML is text but for a few bare tags, DOMPurify keeps
// what is harmless of what marked makes, and nothing is fetched from elsewhere.
import DOMPurify from "dompurify";
import { Marked } from "marked";

const BARE =
  /&lt;(\/?(?:b|i|u|s|em|strong|small|sub|sup|kbd|mark|del|ins|q|var|samp|br|hr|details|summary)\s*\/?)&gt;/gi;

function tamed(html: string): string {
  const text = html.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return text.replace(BARE, "<$1>");
}

const marked = new Marked({
  gfm: true,
  breaks: false,
  async: false,
  renderer: { html: (token) => tamed(token.text) },
});

const TAGS = [
  "a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl",
  "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "input", "ins",
  "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span",
  "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th",
  "thead", "tr", "u", "ul", "var",
];
const ATTRIBUTES = [
  "href", "title", "alt", "src", "start", "align", "type", "checked", "disabled",
  "colspan", "rowspan", "open", "reversed",
];

// Pictures from elsewhere would tell others what is read here: a link instead.
// Their address is taken away before the node belongs to the page, which would
// fetch it at once.
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  const from = node.getAttribute("src") ?? "";
  if (from && !/^data:image\/(png|jpeg|gif|webp);/i.test(from)) {
    node.removeAttribute("src");
    node.setAttribute("data-from", from);
  }
});

function tame(node: Element): void {
  if (node.tagName === "IMG") {
    if (node.hasAttribute("src")) return;
    const from = node.getAttribute("data-from") ?? "";
    const link = document.createElement("a");
    link.textContent = node.getAttribute("alt") || from || "picture";
    if (/^https?:/i.test(from)) link.href = from;
    node.replaceWith(link);
    outward(link);
  } else if (node.tagName === "A") {
    outward(node as HTMLAnchorElement);
  } else if (node.tagName === "INPUT") {
    const box = node as HTMLInputElement;
    if (box.type === "checkbox") {
      box.disabled = true;
      box.setAttribute("aria-label", box.checked ? "done" : "open");
    } else {
      box.remove();
    }
  } else if (node.tagName === "TABLE") {
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "table");
    node.replaceWith(frame);
    frame.append(node);
  }
}

function outward(link: HTMLAnchorElement): void {
  link.target = "_blank";
  link.rel = "noopener noreferrer";
}

export function renderMarkdown(text: string): DocumentFragment {
  const html = marked.parse(text) as string;
  const out = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#|data:image\/(?:png|jpeg|gif|webp);)/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const node of out.querySelectorAll("img, a, input, table")) tame(node);
  return out;
}
