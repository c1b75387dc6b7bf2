#include "formats/call_machine.h"

#include <algorithm>

#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr size_t kFarGarbage = 1024;

}  // namespace

CallMachine::CallMachine(const SyntaxList& own, const FormatInput& input)
    : tools_(input) {
  if (tools_.empty()) {
    return;
  }
  for (const auto& syntax : own) {
    add(syntax, true);
    std::ranges::copy_if(
        syntax->closers(), std::back_inserter(closers_), [](const auto& tag) {
          return tag.starts_with('<') || tag.starts_with('[');
        });
  }
  for (const auto& syntax : foreign_syntaxes()) {
    if (std::ranges::find(own, syntax) == own.end()) {
      add(syntax, false);
    }
  }
}

void CallMachine::add(
    const std::shared_ptr<const CallSyntax>& syntax, bool own) {
  candidates_.push_back({syntax.get(), own});
  for (const std::string& opener : syntax->openers()) {
    auto& list = by_first_[static_cast<unsigned char>(opener[0])];
    if (list.empty() || list.back().syntax != syntax.get()) {
      list.push_back({syntax.get(), own});
    }
  }
}

void CallMachine::feed(std::string_view text, std::vector<FormatEvent>& out) {
  if (tools_.empty()) {
    push_text(text, out);
    return;
  }
  buffer_ += text;
  fed_ += text.size();
  budget_ += kWorkPerByte * text.size();
  if (at_call_ && !may_ask(text)) {
    return;
  }
  while (step(out) == Step::again) {
  }
  if (begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
}

void CallMachine::finish(FinishCause cause, std::vector<FormatEvent>& out) {
  end_ = true;
  cut_ = cause == FinishCause::length;
  budget_ = kWorkPerByte * fed_ + kFreeWork;
  while (!rest().empty() && step(out) == Step::again) {
  }
  if (!behind_call_ || skip_blank(rest(), 0) < rest().size()) {
    emit_text(rest().size(), out);
  }
  buffer_.clear();
  begin_ = 0;
}

size_t CallMachine::open_call() const {
  const std::string_view text = rest().substr(std::min(blank_, rest().size()));
  if (!at_call_ || text.empty()) {
    return 0;
  }
  if (text[0] == '{' || text[0] == '`') {
    return names_a_tool(text) ? text.size() : 0;
  }
  if (text[0] != '<' && text[0] != '[') {
    return 0;
  }
  for (const Candidate& candidate : candidates_) {
    const TagMatch open =
        match_any(text, 0, candidate.syntax->openers(), false);
    if (candidate.own && open.match == Match::yes && open.size > 3) {
      return text.size();
    }
  }
  return 0;
}

// {"name": "read", bare or in a fence, is no text any more.
bool CallMachine::names_a_tool(std::string_view text) const {
  constexpr size_t kWindow = 256;
  constexpr std::string_view kKey = "\"name\"";
  const std::string_view head = text.substr(0, kWindow);
  size_t at = head.find(kKey);
  if (at == head.npos) {
    return false;
  }
  at = head.find_first_not_of(" \t\r\n:", at + kKey.size());
  if (at == head.npos || head[at] != '"') {
    return false;
  }
  const size_t end = head.find('"', at + 1);
  return end != head.npos &&
         tools_.find(head.substr(at + 1, end - at - 1)) != nullptr;
}

// Whether asking about the held call again is worth it.
bool CallMachine::may_ask(std::string_view news) {
  const size_t size = rest().size();
  if (size > kFarGarbage &&
      news.find_first_of(">})]m`") == std::string_view::npos) {
    return false;
  }
  return work_ + size <= kWorkPerByte * fed_ + kFreeWork;
}

void CallMachine::emit_text(size_t count, std::vector<FormatEvent>& out) {
  if (count == 0) {
    return;
  }
  push_text(rest().substr(0, count), out);
  before_ = buffer_[begin_ + count - 1];
  anything_ = true;
  begin_ += count;
}

CallMachine::Step CallMachine::step(std::vector<FormatEvent>& out) {
  if (rest().empty()) {
    return Step::wait;
  }
  if (lead_) {
    blank_ = skip_blank(rest(), blank_);
    if (blank_ == rest().size()) {
      return Step::wait;
    }
    if (behind_call_) {
      switch (stray_closer()) {
        case Match::yes:
          return Step::again;
        case Match::maybe:
          return Step::wait;
        case Match::no:
          break;
      }
    }
    lead_ = false;
    looked_ = blank_;
  }
  return at_call_ ? read_call(out) : find_opener(out);
}

// Behind a call: a closing tag too many, or the comma between calls.
Match CallMachine::stray_closer() {
  const TagMatch close = match_any(rest(), blank_, closers_, end_);
  if (end_ && cut_closer()) {
    begin_ = buffer_.size();
    return Match::yes;
  }
  if (close.match == Match::yes) {
    begin_ += blank_ + close.size;
    blank_ = 0;
    return Match::yes;
  }
  const char c = rest()[blank_];
  if (c == ';' || c == ',') {
    const size_t next = skip_blank(rest(), blank_ + 1);
    if (next >= rest().size()) {
      return end_ ? Match::no : Match::maybe;
    }
    if (rest()[next] == '{') {
      begin_ += blank_ + 1;
      blank_ = 0;
      return Match::yes;
    }
  }
  return close.match;
}

// The end of the input cut the closing tag.
bool CallMachine::cut_closer() const {
  const std::string_view text = rest().substr(blank_);
  return text.size() >= 2 &&
         std::ranges::any_of(closers_, [&](const std::string& tag) {
           return tag.starts_with(text);
         });
}

CallMachine::Step CallMachine::find_opener(std::vector<FormatEvent>& out) {
  const std::string_view text = rest();
  for (size_t i = looked_; i < text.size(); ++i) {
    Match match = Match::no;
    for (const Candidate& candidate : candidates_at(text[i])) {
      const Match one =
          match_any(text, i, candidate.syntax->openers(), end_).match;
      match = std::max(match, one);
    }
    if (match == Match::no) {
      continue;
    }
    looked_ = i;
    if (i > blank_) {
      emit_text(i, out);
      blank_ = looked_ = 0;
      behind_call_ = false;
    }
    at_call_ = match == Match::yes;
    return at_call_ ? Step::again : Step::wait;
  }
  emit_text(text.size(), out);
  blank_ = looked_ = 0;
  behind_call_ = false;
  return Step::wait;
}

// rest() is blank_ white space and then an opener.
CallMachine::Step CallMachine::read_call(std::vector<FormatEvent>& out) {
  const std::string_view text = rest().substr(blank_);
  const char before = blank_ > 0 ? rest()[blank_ - 1] : before_;
  ReadContext context{tools_, end_, cut_};
  context.budget = &budget_;
  context.starts = !anything_;
  context.line_start = before == '\n' || !anything_;
  context.word_start =
      context.line_start || before == '>' || kBlank.find(before) != kBlank.npos;
  SyntaxRead read;
  for (const Candidate& candidate : candidates_at(text[0])) {
    const Match match =
        match_any(text, 0, candidate.syntax->openers(), end_).match;
    if (match == Match::no || (end_ && budget_ == 0)) {
      continue;
    }
    if (budget_ == 0) {
      return Step::wait;  // to the end, which has a budget of its own
    }
    if (match == Match::maybe) {
      return Step::wait;
    }
    context.own = candidate.own;
    read = candidate.syntax->read(text, context);
    if (read.kind != SyntaxRead::Kind::no) {
      break;
    }
  }
  if (read.kind == SyntaxRead::Kind::no) {
    read = read_garbage(text);
  }
  work_ += text.size();
  if (read.kind == SyntaxRead::Kind::more) {
    return Step::wait;
  }
  at_call_ = false;
  if (read.kind == SyntaxRead::Kind::no) {
    emit_text(blank_ + 1, out);
    blank_ = looked_ = 0;
    behind_call_ = false;
    return Step::again;
  }
  const bool call = has_call(read.events);
  if (!call) {
    emit_text(blank_, out);
  } else {
    begin_ += blank_;
  }
  for (FormatEvent& event : read.events) {
    if (auto* plain = std::get_if<FormatText>(&event)) {
      push_text(plain->text, out);
    } else {
      out.push_back(std::move(event));
    }
  }
  begin_ += read.consumed;
  before_ = buffer_[begin_ - 1];
  anything_ = true;
  blank_ = looked_ = 0;
  lead_ = behind_call_ = call;
  return Step::again;
}

// A tag of our own with something behind it that is no call: broken if it is
// closed, else a tag that is merely mentioned.
SyntaxRead CallMachine::read_garbage(std::string_view text) const {
  for (const Candidate& candidate : candidates_at(text[0])) {
    const auto& closers = candidate.syntax->closers();
    if (!candidate.own || closers.empty() || text[0] != '<') {
      continue;
    }
    const TagMatch open = match_any(text, 0, candidate.syntax->openers(), end_);
    if (open.match != Match::yes) {
      continue;
    }
    const char last = text[open.size - 1];
    const bool whole = last == '>' || last == ']' || last == '\n';
    if (end_ && whole && skip_blank(text, open.size) == text.size()) {
      SyntaxRead out{SyntaxRead::Kind::done, text.size(), {}};
      out.events.push_back(
          FormatRejected{std::string(text), "the call is cut off", true});
      return out;
    }
    const std::string_view near = text.substr(0, kFarGarbage);
    const TagFound next =
        find_any(near, open.size, candidate.syntax->openers());
    const TagFound close =
        find_any(near.substr(0, next.at), open.size, closers);
    if (close.at != text.npos) {
      const TagMatch longest = match_any(text, close.at, closers, end_);
      if (longest.match == Match::maybe) {
        return SyntaxRead::wait();
      }
      const size_t size = close.at + longest.size;
      SyntaxRead out{SyntaxRead::Kind::done, size, {}};
      out.events.push_back(FormatRejected{
          std::string(text.substr(0, size)), "this is not a call", false});
      return out;
    }
    if (!end_ && next.at == text.npos && text.size() < kFarGarbage) {
      return SyntaxRead::wait();
    }
  }
  return {};
}

}  // namespace rapid
