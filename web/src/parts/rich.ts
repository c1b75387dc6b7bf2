// RichText: Markdown in an element, rendered block by block within a few
// milliseconds a frame. Growing text costs its last block only.
import { BlockSplitter, type Block } from "../blocks";
import { highlight } from "../highlight";
import { renderMarkdown } from "../markdown";
import { copyText } from "./copy";

const BUDGET = 6; // ms of a frame
const PAUSE = 40; // ms between two looks at a growing block

const idle: (work: () => void) => void =
  typeof requestIdleCallback === "function"
    ? (work) => requestIdleCallback(() => work(), { timeout: 500 })
    : (work) => setTimeout(work, 20);

class CodeView {
  readonly element = document.createElement("figure");
  private code = document.createElement("code");
  private label = document.createElement("span");
  private shown = "";

  constructor() {
    this.element.className = "code";
    const bar = document.createElement("figcaption");
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "quiet";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", "Copy this code");
    copy.onclick = async () => {
      copy.textContent = (await copyText(this.shown)) ? "Copied" : "Not copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    };
    bar.append(this.label, copy);
    const pre = document.createElement("pre");
    pre.tabIndex = 0;
    pre.append(this.code);
    this.element.append(bar, pre);
  }

  show(block: Block): void {
    this.label.textContent = block.lang || "text";
    if (block.text.startsWith(this.shown)) {
      const more = block.text.slice(this.shown.length);
      if (more) this.code.append(more);
    } else {
      this.code.textContent = block.text;
    }
    this.shown = block.text;
    if (!block.open) idle(() => this.colour(block));
  }

  private colour(block: Block): void {
    if (!this.element.isConnected) return;
    const coloured = highlight(block.text, block.lang.toLowerCase());
    if (coloured) this.code.replaceChildren(coloured);
  }
}

export class RichText {
  private splitter = new BlockSplitter();
  private fed = 0; // characters
  private shown = 0; // blocks
  private ended = false;
  private text = "";
  private final = false;
  private tail: HTMLElement | null = null;
  private tailCode: CodeView | null = null;
  private tailText = "";
  private timer = 0;
  private last = 0;

  constructor(private root: HTMLElement) {}

  update(text: string, final: boolean): void {
    if (this.ended && (text.length !== this.fed || !final)) this.reset();
    this.text = text;
    this.final = final;
    if (this.timer === 0) this.step();
  }

  dispose(): void {
    cancelAnimationFrame(this.timer);
    this.timer = -1;
  }

  private reset(): void {
    this.splitter = new BlockSplitter();
    this.fed = this.shown = 0;
    this.ended = false;
    this.dropTail();
    this.root.replaceChildren();
  }

  private dropTail(): void {
    this.tail?.remove();
    this.tail = this.tailCode = null;
    this.tailText = "";
  }

  private later(): void {
    this.timer = requestAnimationFrame(() => {
      this.timer = 0;
      this.step();
    });
  }

  private step(): void {
    const start = performance.now();
    if (!this.final && start - this.last < PAUSE) return this.later();
    this.last = start;
    if (!this.ended) {
      this.splitter.feed(this.text.slice(this.fed));
      this.fed = this.text.length;
      if (this.final) {
        this.splitter.end();
        this.ended = true;
      }
    }
    const blocks = this.splitter.blocks;
    while (this.shown < blocks.length) {
      if (performance.now() - start > BUDGET) return this.later();
      this.settle(blocks[this.shown++]!);
    }
    if (!this.ended) this.grow();
    else this.dropTail();
  }

  // A whole block; the view of growing code becomes it.
  private settle(block: Block): void {
    if (block.kind === "code" && this.tailCode) {
      this.tailCode.show(block);
      this.tail = this.tailCode = null;
      return;
    }
    this.dropTail();
    this.root.append(block.kind === "code" ? codeElement(block) : textElement(block));
  }

  private grow(): void {
    const block = this.splitter.tail();
    if (!block) return this.dropTail();
    if (block.kind === "code") {
      if (!this.tailCode) {
        this.dropTail();
        this.tailCode = new CodeView();
        this.tail = this.tailCode.element;
        this.root.append(this.tail);
      }
      return this.tailCode.show(block);
    }
    if (block.text === this.tailText) return;
    const made = textElement(block);
    if (this.tail && !this.tailCode) this.tail.replaceWith(made);
    else {
      this.dropTail();
      this.root.append(made);
    }
    this.tail = made;
    this.tailText = block.text;
  }
}

function codeElement(block: Block): HTMLElement {
  const view = new CodeView();
  view.show(block);
  return view.element;
}

function textElement(block: Block): HTMLElement {
  const out = document.createElement("div");
  out.className = "block";
  out.append(renderMarkdown(block.text));
  return out;
}
