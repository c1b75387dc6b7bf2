#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include <CLI/CLI.hpp>

#include "api/tool_list.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "engine/choice_text.h"
#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {

namespace {

struct ParseFlags {
  std::string format;
  std::string reasoning;
  std::string tools;  // a file
  std::string choice = "auto";
  std::string thinking = "auto";
  size_t cut = 0;  // bytes fed at a time; 0 = all
  bool events = false;
  bool cut_off = false;  // the token limit ended the output
  bool list = false;
  bool json = false;
};

Json names_of(std::string_view name, std::vector<std::string_view> aliases) {
  return {{"name", name}, {"aliases", aliases}};
}

int list_formats(bool json) {
  Json formats = Json::array();
  Json styles = Json::array();
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    formats.push_back(names_of(format->name(), format->aliases()));
  }
  for (const ReasoningStyle& style : reasoning_styles()) {
    styles.push_back(names_of(style.name, style.aliases));
  }
  if (json) {
    print_json({{"formats", formats}, {"reasoning", styles}});
    return kExitDone;
  }
  Table table({{"NAME"}, {"KIND"}, {"ALIASES"}});
  const auto rows = [&](const Json& list, const char* kind) {
    for (const Json& entry : list) {
      std::string aliases;
      for (const Json& alias : entry["aliases"]) {
        aliases += (aliases.empty() ? "" : ", ") + alias.get<std::string>();
      }
      table.row({entry["name"].get<std::string>(), kind, aliases});
    }
  };
  rows(formats, "format");
  rows(styles, "reasoning");
  fmt::print("{}", table.text());
  return kExitDone;
}

Error unknown_name(const char* what, const std::string& name) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("there is no {} \"{}\"", what, name),
      "`rapid-mlx parse --list` names them"};
}

Result<Json> read_tools(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return Error{
        ErrorCode::not_found,
        "cannot open " + path,
        "--tools takes a file with a JSON list"};
  }
  return parse_json(std::string{std::istreambuf_iterator<char>(in), {}});
}

Result<FormatInput> read_input(const ParseFlags& flags) {
  Json tools = Json::array();
  if (!flags.tools.empty()) {
    RAPID_TRY(tools, read_tools(flags.tools));
  }
  RAPID_TRY(ToolList list, read_tool_list(tools, flags.choice));
  FormatInput input{std::move(list.tools), std::move(list.choice)};
  if (!flags.reasoning.empty()) {
    input.reasoning = find_reasoning_style(flags.reasoning);
    if (!input.reasoning) {
      return unknown_name("reasoning style", flags.reasoning);
    }
  }
  input.thinking = flags.thinking == "on"    ? Thinking::on
                   : flags.thinking == "off" ? Thinking::off
                                             : Thinking::automatic;
  return input;
}

std::vector<FormatEvent> parse(
    const ParseFlags& flags,
    const OutputFormat& format,
    const FormatInput& input,
    std::string_view raw) {
  const auto machine = start_machine(format, input);
  std::vector<FormatEvent> events;
  const size_t step =
      flags.cut > 0 ? flags.cut : std::max<size_t>(raw.size(), 1);
  for (size_t at = 0; at < raw.size(); at += step) {
    machine->feed(raw.substr(at, step), events);
  }
  // Who ended the output is not known: an open call was cut.
  machine->finish(FinishCause::length, events);
  return events;
}

// The answer as one object, and its events as they came.
class Answer {
 public:
  void add(const FormatEvent& event) {
    if (const auto* text = std::get_if<FormatText>(&event)) {
      content_ += text->text;
      log_.push_back({{"type", "content"}, {"text", text->text}});
    } else if (const auto* thought = std::get_if<FormatReasoning>(&event)) {
      reasoning_ += thought->text;
      log_.push_back({{"type", "reasoning"}, {"text", thought->text}});
    } else if (const auto* call = std::get_if<FormatCall>(&event)) {
      const Json json = {
          {"id", call_id(0, 0, static_cast<int>(calls_.size()))},
          {"type", "function"},
          {"function", {{"name", call->name}, {"arguments", call->arguments}}}};
      calls_.push_back(json);
      log_.push_back({{"type", "tool_call"}, {"tool_call", json}});
    } else if (const auto* raw = std::get_if<FormatRejected>(&event)) {
      const Json json = {{"raw", raw->raw}, {"reason", raw->reason}};
      rejected_.push_back(json);
      cut_ |= raw->cut;
      log_.push_back({{"type", "rejected"}, {"rejected", json}});
    }
    call_is_last_ = std::holds_alternative<FormatCall>(event);
  }

  Json object(bool cut_off) const {
    const auto or_null = [](const std::string& text) {
      return text.empty() ? Json() : Json(text);
    };
    return {
        {"content", or_null(content_)},
        {"reasoning_content", or_null(reasoning_)},
        {"tool_calls", calls_},
        {"rejected", rejected_},
        {"finish_reason", finish_reason(cut_off)}};
  }

  Json events(bool cut_off) const {
    Json out = log_;
    out.push_back(
        {{"type", "finish"}, {"finish_reason", finish_reason(cut_off)}});
    return out;
  }

 private:
  const char* finish_reason(bool cut_off) const {
    if (cut_off || cut_) {
      return call_is_last_ ? "tool_calls" : "length";
    }
    return calls_.empty() ? "stop" : "tool_calls";
  }

  std::string content_;
  std::string reasoning_;
  Json calls_ = Json::array();
  Json rejected_ = Json::array();
  Json log_ = Json::array();
  bool call_is_last_ = false;
  bool cut_ = false;  // in the middle of a call
};

int run(const ParseFlags& flags) {
  if (flags.list) {
    return list_formats(flags.json);
  }
  if (flags.format.empty()) {
    return report_usage(
        {.what = "parse needs --format NAME",
         .hint = "`rapid-mlx parse --list` names them"});
  }
  const OutputFormat* format = FormatRegistry::global().find(flags.format);
  if (!format) {
    return report_usage(unknown_name("output format", flags.format));
  }
  const auto input = read_input(flags);
  if (!input) {
    return report_usage(input.error());
  }
  const std::string raw{std::istreambuf_iterator<char>(std::cin), {}};
  Answer answer;
  for (const FormatEvent& event : parse(flags, *format, *input, raw)) {
    answer.add(event);
  }
  if (flags.events) {
    for (const Json& event : answer.events(flags.cut_off)) {
      fmt::print("{}\n", dump_json(event));
    }
  } else {
    print_json(answer.object(flags.cut_off));
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto flags = std::make_shared<ParseFlags>();
  app.add_option("--format", flags->format, "How the model writes calls");
  app.add_option("--reasoning", flags->reasoning, "How it writes reasoning");
  app.add_option("--tools", flags->tools, "A JSON list of tools, in a file");
  app.add_option(
      "--tool-choice", flags->choice, "auto, none, required or a tool's name");
  app.add_option(
         "--thinking",
         flags->thinking,
         "What the prompt did: on = opened a block, off = closed one")
      ->check(CLI::IsMember({"on", "off", "auto"}));
  app.add_option("--cut", flags->cut, "Feed so many bytes at a time; 0 = all");
  app.add_flag("--cut-off", flags->cut_off, "The token limit ended the output");
  app.add_flag("--events", flags->events, "One JSON event a line, in order");
  app.add_flag("--list", flags->list, "Name the formats and reasoning styles");
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace

void register_command_parse(CommandTable& table) {
  table.add({
      .name = "parse",
      .summary = "Show what the engine makes of a model's raw output",
      .examples =
          "  rapid-mlx parse --list\n"
          "  rapid-mlx parse --format NAME --tools tools.json < output.txt\n"
          "  rapid-mlx parse --format NAME --reasoning STYLE --thinking on "
          "--cut 1 --events < output.txt",
      .order = 60,
      .group = "Look inside",
      .configure = configure,
  });
}

}  // namespace rapid
