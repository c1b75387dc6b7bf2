// Lines a person types, with editing and history on a terminal, or plain lines
// from a pipe. UTF-8 in and out.
//
//   auto reader = make_line_reader("> ", home_dir() / "chat_history");
//   for (;;) { auto line = reader->read(); ... }
//
// On a terminal Ctrl-C at the prompt is not a signal but Kind::interrupt. On a
// pipe a signal that ends the read is Kind::interrupt too. Main thread only.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace rapid {

struct InputLine {
  enum class Kind { text, interrupt, end };
  Kind kind = Kind::end;
  std::string text;  // without the line end
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  virtual InputLine read() = 0;
  virtual bool interactive() const = 0;
};

// A terminal reader when stdin and stdout are terminals. The history file is
// read now and written after each line (mode 0600); that it cannot be written
// is no error.
std::unique_ptr<LineReader> make_line_reader(
    const std::string& prompt, const std::filesystem::path& history_file);

}  // namespace rapid
