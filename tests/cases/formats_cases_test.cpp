// Runs tests/cases/formats/<format>/*.case: what a format makes of a model's
// raw output, fed in every way it can be cut.
//
//   A line of comment.
//   === tools [names, separated by space; default "read write
//   ping computer"]
//   === choice none        (optional)
//   === cause length       (optional, default end)
//   === input
//   <raw output; the last newline is not part of it>
//   === events
//   ["text", "..."]        one JSON list a line
//   ["reasoning", "..."]
//   ["call", "name", "arguments"]
//   ["rejected", "raw"]
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {
namespace {

struct Case {
  FormatInput input;
  FinishCause cause = FinishCause::end;
  std::string raw;
  std::vector<Json> events;
};

// The tools that cases may declare, and their parameters.
Json parameters_of(const std::string& name) {
  const Json schemas = Json::parse(R"({
    "read": {"path": {"type": "string"}, "n": {"type": "integer"}},
    "write": {
      "path": {"type": "string"}, "content": {"type": "string"},
      "lines": {"type": "integer"}, "flag": {"type": "boolean"},
      "opts": {"type": "object"}, "tags": {"type": "array"}},
    "ping": {},
    "computer": {"action": {"type": "string"}}})");
  Json out = Json::object();
  out["type"] = "object";
  out["properties"] = schemas.contains(name) ? schemas[name] : Json::object();
  return out;
}

std::vector<chat::Tool> tools_named(const std::string& names) {
  std::vector<chat::Tool> tools;
  std::istringstream in(names);
  for (std::string name; in >> name;) {
    tools.push_back({.name = name, .parameters = parameters_of(name)});
  }
  return tools;
}

// White space between the tokens of JSON is the model's own business.
std::string compact(const std::string& arguments) {
  const auto json = parse_json(arguments);
  EXPECT_TRUE(json) << arguments;
  return json ? dump_json(*json) : arguments;
}

Case read_case(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  Case out;
  out.input.tools = tools_named("read write ping computer");
  std::string section;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("=== ")) {
      std::istringstream words(line.substr(4));
      std::string rest;
      words >> section;
      std::getline(words, rest);
      if (section == "tools") {
        out.input.tools = tools_named(rest);
      } else if (section == "choice") {
        EXPECT_EQ(rest, " none") << path;
        out.input.tool_choice.kind = chat::ToolChoice::Kind::none;
      } else if (section == "cause") {
        EXPECT_EQ(rest, " length") << path;
        out.cause = FinishCause::length;
      }
    } else if (section == "input") {
      out.raw += line + "\n";
    } else if (section == "events" && !line.empty()) {
      Json event = Json::parse(line);
      if (event[0] == "call") {
        event[2] = compact(event[2].get<std::string>());
      }
      out.events.push_back(std::move(event));
    }
  }
  if (!out.raw.empty()) {
    out.raw.pop_back();
  }
  return out;
}

// Neighbouring pieces of one kind joined.
std::vector<Json> joined(const std::vector<FormatEvent>& events) {
  std::vector<Json> out;
  const auto piece = [&](const char* kind, const std::string& text) {
    EXPECT_FALSE(text.empty()) << "an empty event";
    if (!out.empty() && out.back()[0] == kind) {
      out.back()[1] = out.back()[1].get<std::string>() + text;
    } else {
      out.push_back(Json::array({kind, text}));
    }
  };
  for (const FormatEvent& event : events) {
    if (const auto* text = std::get_if<FormatText>(&event)) {
      piece("text", text->text);
    } else if (const auto* thought = std::get_if<FormatReasoning>(&event)) {
      piece("reasoning", thought->text);
    } else if (const auto* call = std::get_if<FormatCall>(&event)) {
      out.push_back(
          Json::array({"call", call->name, compact(call->arguments)}));
    } else if (const auto* raw = std::get_if<FormatRejected>(&event)) {
      EXPECT_FALSE(raw->reason.empty());
      out.push_back(Json::array({"rejected", raw->raw}));
    }
  }
  return out;
}

std::vector<Json> run(
    const OutputFormat& format,
    const Case& test,
    const std::vector<std::string>& pieces) {
  const auto machine = test.input.tools.empty()
                           ? format.start(test.input)
                           : start_machine(format, test.input);
  std::vector<FormatEvent> events;
  for (const std::string& piece : pieces) {
    machine->feed(piece, events);
  }
  machine->finish(test.cause, events);
  EXPECT_EQ(machine->held(), 0u);
  return joined(events);
}

std::vector<std::string> cut_every(const std::string& raw, size_t size) {
  std::vector<std::string> pieces;
  for (size_t i = 0; i < raw.size(); i += size) {
    pieces.push_back(raw.substr(i, size));
  }
  return pieces;
}

void check(const OutputFormat& format, const std::filesystem::path& path) {
  SCOPED_TRACE("FORMAT " + path.parent_path().filename().string());
  SCOPED_TRACE(path.filename().string());
  const Case test = read_case(path);
  ASSERT_FALSE(test.events.empty()) << "no === events";
  EXPECT_EQ(run(format, test, {test.raw}), test.events);
  for (const size_t size : {1, 2, 3, 7, 16}) {
    EXPECT_EQ(run(format, test, cut_every(test.raw, size)), test.events)
        << "in pieces of " << size;
  }
  for (size_t i = 1; i < test.raw.size(); ++i) {
    const auto events =
        run(format, test, {test.raw.substr(0, i), test.raw.substr(i)});
    ASSERT_EQ(events, test.events) << "cut at byte " << i;
  }
  // No tools: everything is text, byte for byte.
  Case none = test;
  none.input.tools.clear();
  EXPECT_EQ(
      run(format, none, cut_every(test.raw, 5)),
      (std::vector<Json>{Json::array({"text", test.raw})}));
}

// Any beginning of any case, cut in any way, gives the same events too.
void check_beginnings(
    const OutputFormat& format, const std::filesystem::path& path) {
  SCOPED_TRACE("FORMAT " + path.parent_path().filename().string());
  SCOPED_TRACE(path.filename().string());
  const Case whole = read_case(path);
  for (const FinishCause cause : {FinishCause::end, FinishCause::length}) {
    for (size_t n = 1; n < whole.raw.size(); ++n) {
      Case test = whole;
      test.cause = cause;
      test.raw.resize(n);
      const auto events = run(format, test, {test.raw});
      ASSERT_EQ(run(format, test, cut_every(test.raw, 1)), events) << n;
      ASSERT_EQ(run(format, test, cut_every(test.raw, 6)), events) << n;
    }
  }
}

std::vector<std::filesystem::path> cases_of(std::string_view format) {
  std::vector<std::filesystem::path> paths;
  const std::filesystem::path folder =
      std::filesystem::path(RAPID_MLX_TEST_DATA) / "cases/formats" / format;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".case") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(FormatCases, EveryFormatWithToolsHasCasesAndTheyHold) {
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    if (format->syntaxes().empty()) {
      continue;
    }
    const auto paths = cases_of(format->name());
    EXPECT_GE(paths.size(), 20u) << format->name();
    for (const auto& path : paths) {
      check(*format, path);
      check_beginnings(*format, path);
    }
  }
}

}  // namespace
}  // namespace rapid
