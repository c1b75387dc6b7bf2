// CallMachine: finds calls in the answer, in a format's own syntax or in
// another family's, and lets everything else through as text.
//
// Text streams up to what may begin a call; a call is held until it is
// decided. White space around calls that stand alone is markup, and so are
// closing tags behind a call that were written once too often. Total work is
// linear in the input.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "formats/call_syntax.h"
#include "formats/text_scan.h"

namespace rapid {

using SyntaxList = std::vector<std::shared_ptr<const CallSyntax>>;

class CallMachine final : public FormatMachine {
 public:
  CallMachine(const SyntaxList& own, const FormatInput& input);

  void feed(std::string_view text, std::vector<FormatEvent>& out) override;
  void finish(FinishCause cause, std::vector<FormatEvent>& out) override;
  size_t held() const override { return buffer_.size() - begin_; }
  size_t open_call() const override;

 private:
  // Readers look at so much for each byte of input, and so much in any case.
  static constexpr size_t kWorkPerByte = 32;
  static constexpr size_t kFreeWork = size_t{1} << 20;

  struct Candidate {
    const CallSyntax* syntax;
    bool own;
  };
  enum class Step { again, wait };

  Step step(std::vector<FormatEvent>& out);
  Step find_opener(std::vector<FormatEvent>& out);
  Step read_call(std::vector<FormatEvent>& out);
  Match stray_closer();
  bool cut_closer() const;
  SyntaxRead read_garbage(std::string_view text) const;
  // Those with an opener that begins so.
  const std::vector<Candidate>& candidates_at(char first) const {
    return by_first_[static_cast<unsigned char>(first)];
  }
  void add(const std::shared_ptr<const CallSyntax>& syntax, bool own);
  void emit_text(size_t count, std::vector<FormatEvent>& out);
  bool may_ask(std::string_view news);
  bool names_a_tool(std::string_view text) const;
  std::string_view rest() const {
    return std::string_view(buffer_).substr(begin_);
  }

  ToolSet tools_;
  std::vector<Candidate> candidates_;
  std::vector<std::string> closers_;  // of the own syntaxes
  std::array<std::vector<Candidate>, 256> by_first_;

  std::string buffer_;
  size_t begin_ = 0;   // of what no event covers yet
  size_t looked_ = 0;  // bytes behind begin_ that open nothing
  size_t blank_ = 0;   // white space at begin_ that is markup if a call follows
  bool lead_ = true;   // at the start or behind a call: look for blank_
  bool behind_call_ = false;
  bool at_call_ = false;  // an opener stands behind blank_
  bool end_ = false;
  bool cut_ = false;
  bool anything_ = false;  // something was emitted before
  char before_ = '\n';     // the last character that was
  size_t fed_ = 0;
  size_t work_ = 0;
  size_t budget_ = kFreeWork;  // bytes that readers may still look at
};

// Every way of writing calls that any format knows, for recovery.
const SyntaxList& foreign_syntaxes();

}  // namespace rapid
