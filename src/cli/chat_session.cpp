#include "cli/chat_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/command.h"
#include "cli/table.h"

namespace rapid {

namespace {

constexpr const char* kHelp =
    "  /help          this list\n"
    "  /reset         forget the conversation, keep the system text\n"
    "  /system TEXT   set the system text and start anew; empty removes it\n"
    "  /save PATH     write the conversation as Markdown to a new file\n"
    "  /stats         speed of the last answer\n"
    "  /exit          leave; so do /quit, exit and Ctrl-D\n"
    "  //TEXT         say /TEXT to the model\n"
    "Ctrl-C stops an answer; at the prompt, twice leaves.\n";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Writes a file that was not there before.
Status write_new_file(const std::string& path, const std::string& text) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) {
    return Error{
        ErrorCode::io,
        fmt::format("cannot write {}: {}", path, std::strerror(errno)),
        errno == EEXIST ? "name a file that does not exist yet" : ""};
  }
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0) {
      const int code = errno;
      ::close(fd);
      ::unlink(path.c_str());
      return Error{
          ErrorCode::io,
          fmt::format("cannot write {}: {}", path, std::strerror(code))};
    }
    done += static_cast<size_t>(n);
  }
  ::close(fd);
  return {};
}

}  // namespace

ChatCommand parse_chat_line(std::string_view line) {
  using Kind = ChatCommand::Kind;
  const std::string_view text = trimmed(line);
  if (text == "exit" || text == "quit") {
    return {Kind::leave, ""};
  }
  if (text.rfind("//", 0) == 0) {
    return {Kind::say, std::string(text.substr(1))};
  }
  if (text.empty() || text[0] != '/') {
    return {Kind::say, std::string(text)};
  }
  const size_t space = text.find_first_of(" \t");
  const std::string_view name = text.substr(0, space);
  const std::string argument(
      space == std::string_view::npos ? "" : trimmed(text.substr(space)));
  if (name == "/help" || name == "/?") {
    return {Kind::help, ""};
  }
  if (name == "/reset") {
    return {Kind::reset, ""};
  }
  if (name == "/system") {
    return {Kind::system, argument};
  }
  if (name == "/save") {
    return {Kind::save, argument};
  }
  if (name == "/stats") {
    return {Kind::stats, ""};
  }
  if (name == "/exit" || name == "/quit") {
    return {Kind::leave, ""};
  }
  return {Kind::unknown, std::string(name)};
}

ChatSession::ChatSession(Ask ask, FILE* out, FILE* notes, Options options)
    : ask_(std::move(ask)),
      out_(out),
      notes_(notes),
      options_(std::move(options)) {
  reset();
}

bool ChatSession::line(std::string_view line) {
  using Kind = ChatCommand::Kind;
  const ChatCommand command = parse_chat_line(line);
  switch (command.kind) {
    case Kind::say:
      if (!command.argument.empty()) {
        say(command.argument);
      }
      break;
    case Kind::help:
      fmt::print(out_, "{}", kHelp);
      break;
    case Kind::reset:
      reset();
      fmt::print(notes_, "The conversation starts anew.\n");
      break;
    case Kind::system:
      set_system(command.argument);
      break;
    case Kind::save:
      save(command.argument);
      break;
    case Kind::stats:
      print_stats(out_);
      break;
    case Kind::unknown:
      fmt::print(
          notes_,
          "There is no command {}. /help lists them; //TEXT says /TEXT.\n",
          command.argument);
      break;
    case Kind::leave:
      return false;
  }
  std::fflush(out_);
  return true;
}

void ChatSession::say(std::string text) {
  messages_.push_back({.role = "user", .content = std::move(text)});
  auto answer = ask_(messages_);
  failed_ = !answer;
  if (!answer) {
    messages_.pop_back();  // as if it had not been said
    report(answer.error());
    return;
  }
  messages_.insert(messages_.end(), answer->turns.begin(), answer->turns.end());
  messages_.push_back(
      {.role = "assistant",
       .content = answer->text,
       .reasoning = answer->reasoning,
       .tool_calls = answer->tool_calls});
  last_usage_ = answer->usage;
  if (answer->interrupted) {
    fmt::print(notes_, "[stopped]\n");
  } else if (answer->cut) {
    fmt::print(notes_, "[cut by the token limit]\n");
  }
  if (answer->repeats > 0) {
    fmt::print(
        notes_, "[the answer says the same {} times]\n", answer->repeats);
  }
  if (options_.verbose && !answer->interrupted) {
    print_stats(notes_);
  }
}

void ChatSession::reset() {
  messages_.clear();
  last_usage_.reset();
  if (!options_.system.empty()) {
    messages_.push_back({.role = "system", .content = options_.system});
  }
}

void ChatSession::set_system(const std::string& text) {
  options_.system = text;
  reset();
  fmt::print(
      notes_,
      "{} The conversation starts anew.\n",
      text.empty() ? "No system text." : "System text set.");
}

void ChatSession::save(const std::string& path) const {
  if (path.empty()) {
    fmt::print(notes_, "/save wants a path: /save talk.md\n");
    return;
  }
  const auto status =
      write_new_file(path, chat_markdown(options_.title, messages_));
  if (!status) {
    report(status.error());
    return;
  }
  fmt::print(notes_, "Saved to {}.\n", path);
}

void ChatSession::print_stats(FILE* to) const {
  fmt::print(
      to,
      "{}\n",
      last_usage_ ? "[" + usage_line(*last_usage_) + "]"
                  : "No finished answer yet.");
}

std::string chat_markdown(
    const std::string& title, const std::vector<chat::Message>& messages) {
  std::string out = "# Chat with " + title + "\n";
  for (const auto& message : messages) {
    std::string heading = message.role;
    heading[0] = static_cast<char>(
        heading[0] >= 'a' && heading[0] <= 'z' ? heading[0] - 'a' + 'A'
                                               : heading[0]);
    out += "\n## " + heading + "\n\n";
    if (!message.reasoning.empty()) {
      out += "<details><summary>Reasoning</summary>\n\n" + message.reasoning +
             "\n\n</details>\n\n";
    }
    out += message.content + "\n";
    for (const auto& call : message.tool_calls) {
      out += fmt::format("\n`{}({})`\n", call.name, call.arguments);
    }
  }
  return out;
}

std::string usage_line(const chat::Usage& usage) {
  std::string speed;
  if (usage.completion_tokens > 1 && usage.decode_seconds > 0) {
    speed = fmt::format(
        ", {:.1f} tok/s", (usage.completion_tokens - 1) / usage.decode_seconds);
  }
  return fmt::format(
      "{} tokens{}; prompt {} ({} cached) in {}",
      usage.completion_tokens,
      speed,
      usage.prompt_tokens,
      usage.cached_tokens,
      human_seconds(usage.prefill_seconds));
}

}  // namespace rapid
