// Server-sent events and JSON lines out of bytes that come in any pieces.

// Calls `take` with the data of each event; comments go to `note`.
export class SseReader {
  private rest = "";
  private data: string[] = [];
  constructor(
    private take: (data: string) => void,
    private note: (comment: string) => void = () => {},
  ) {}

  feed(text: string): void {
    this.rest += text;
    let from = 0;
    for (;;) {
      const end = this.rest.indexOf("\n", from);
      if (end < 0) break;
      const stop = this.rest[end - 1] === "\r" && end > from ? end - 1 : end;
      this.line(this.rest.slice(from, stop));
      from = end + 1;
    }
    this.rest = this.rest.slice(from);
  }

  private line(line: string): void {
    if (line === "") {
      if (this.data.length > 0) this.take(this.data.join("\n"));
      this.data = [];
    } else if (line.startsWith(":")) {
      this.note(line.slice(1).trim());
    } else if (line.startsWith("data:")) {
      this.data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}

// Calls `take` with each line that is not blank.
export class LineReader {
  private rest = "";
  constructor(private take: (line: string) => void) {}

  feed(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) this.take(line.trim());
  }
  end(): void {
    this.feed("\n");
  }
}

// Reads a body to its end. Throws what the network throws.
export async function readText(
  body: ReadableStream<Uint8Array>,
  feed: (text: string) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    feed(decoder.decode(value, { stream: true }));
  }
}
