// Cuts Markdown into blocks that can be rendered one by one, so that a long
// answer costs only its last block while it grows. The same text gives the same
// blocks however it came.

export interface Block {
  kind: "text" | "code";
  text: string; // of code: without its fences
  lang: string;
  open: boolean; // code whose fence has not ended yet
}

// A block that no blank line ends is cut here, and a line without an end there.
const LONGEST = 3000;
const LONGEST_LINE = 4000;

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`]*)$/;
const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;
const HEADING = /^ {0,3}#{1,6}(?:\s|$)/;

export class BlockSplitter {
  readonly blocks: Block[] = []; // whole ones, which stay as they are
  private line = ""; // not ended yet
  private text: string[] = []; // lines of the block under way
  private size = 0;
  private blank = false; // the last line was
  private list = false; // the block is a list
  private inner = ""; // a fence inside of a list
  private fence = ""; // of the code block under way
  private lang = "";
  private code: string[] = [];

  feed(more: string): void {
    const lines = (this.line + more).split("\n");
    this.line = lines.pop() ?? "";
    for (const line of lines) this.take(this.shortened(line));
    this.line = this.shortened(this.line);
  }

  // Hands over the begin of a line that is too long; where it is cut depends on
  // the line alone.
  private shortened(line: string): string {
    while (line.length > LONGEST_LINE && !this.fence) {
      const space = line.lastIndexOf(" ", LONGEST_LINE - 1);
      const cut = space > 0 ? space + 1 : LONGEST_LINE;
      this.take(line.slice(0, cut));
      this.endText();
      line = line.slice(cut);
    }
    return line;
  }

  // The block under way, as it looks now; null = there is none.
  tail(): Block | null {
    if (this.fence) {
      const rest = this.closes(this.line) ? [] : [this.line];
      const text = [...this.code, ...rest].join("\n");
      return { kind: "code", text, lang: this.lang, open: true };
    }
    const text = [...this.text, this.line].join("\n");
    return text.trim() ? { kind: "text", text, lang: "", open: false } : null;
  }

  // All blocks of a text that has ended.
  end(): Block[] {
    if (this.line) this.take(this.shortened(this.line));
    this.line = "";
    if (this.fence) this.endCode();
    this.endText();
    return this.blocks;
  }

  private closes(line: string): boolean {
    const found = /^ {0,3}(`{3,}|~{3,})\s*$/.exec(line);
    return found !== null && found[1]!.startsWith(this.fence);
  }

  private take(line: string): void {
    if (this.fence) {
      if (this.closes(line)) this.endCode();
      else this.code.push(line);
      return;
    }
    if (this.inner) {
      if (line.trim().startsWith(this.inner)) this.inner = "";
      this.push(line);
      return;
    }
    const fence = FENCE.exec(line);
    if (fence && !(this.list && fence[1]!.length > 1)) {
      this.endText();
      this.fence = fence[2]!;
      this.lang = (fence[3] ?? "").trim().split(/\s+/)[0] ?? "";
      return;
    }
    const indented = /^\s*(`{3,}|~{3,})/.exec(line);
    if (indented && this.list) this.inner = indented[1]!;
    const item = ITEM.test(line);
    if (line.trim() === "") {
      this.blank = true;
    } else {
      const inside = /^\s{2,}/.test(line) || (this.list && item);
      const parted = this.blank && !(this.list && inside);
      if (parted || HEADING.test(line) || this.tooLong(item)) this.endText();
      if (this.text.length === 0) this.list = item;
      this.blank = false;
    }
    this.push(line);
  }

  private tooLong(item: boolean): boolean {
    return this.size > LONGEST && (!this.list || item);
  }

  private push(line: string): void {
    this.text.push(line);
    this.size += line.length + 1;
  }

  private endText(): void {
    const text = this.text.join("\n");
    if (text.trim()) {
      this.blocks.push({ kind: "text", text, lang: "", open: false });
    }
    this.text = [];
    this.size = 0;
    this.blank = false;
    this.list = false;
    this.inner = "";
  }

  private endCode(): void {
    const text = this.code.join("\n");
    this.blocks.push({ kind: "code", text, lang: this.lang, open: false });
    this.code = [];
    this.fence = "";
    this.lang = "";
  }
}

export function splitBlocks(text: string): Block[] {
  const splitter = new BlockSplitter();
  splitter.feed(text);
  return splitter.end();
}
