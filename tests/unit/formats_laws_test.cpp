// The laws of every format: what is rendered is read, no cut of the input
// changes an event, no byte is lost, and work is linear.
#include <gtest/gtest.h>

#include "formats/call_syntax.h"
#include "formats/reasoning.h"
#include "formats/registry.h"
#include "formats/text_scan.h"
#include "random_json.h"

namespace rapid {
namespace {

std::vector<const OutputFormat*> calling_formats() {
  std::vector<const OutputFormat*> out;
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    if (!format->syntaxes().empty()) {
      out.push_back(format);
    }
  }
  return out;
}

// Events as text, neighbouring pieces of one kind joined.
std::string joined(const std::vector<FormatEvent>& events) {
  std::string out;
  size_t last = 4;
  for (const FormatEvent& event : events) {
    const bool first = event.index() != last;
    last = event.index();
    if (const auto* text = std::get_if<FormatText>(&event)) {
      out += (first ? "\ntext " : "") + text->text;
    } else if (const auto* thought = std::get_if<FormatReasoning>(&event)) {
      out += (first ? "\nreasoning " : "") + thought->text;
    } else if (const auto* call = std::get_if<FormatCall>(&event)) {
      out += "\ncall " + call->name + call->arguments;
    } else if (const auto* raw = std::get_if<FormatRejected>(&event)) {
      out += "\nrejected " + raw->raw + " " + raw->reason;
    }
  }
  return out;
}

std::vector<FormatEvent> parse(
    FormatMachine& machine,
    std::string_view raw,
    size_t step,
    FinishCause cause = FinishCause::end) {
  std::vector<FormatEvent> events;
  for (size_t at = 0; at < raw.size(); at += step) {
    machine.feed(raw.substr(at, step), events);
  }
  machine.finish(cause, events);
  EXPECT_EQ(machine.held(), 0u);
  return events;
}

Json schema_of(const Json& value) {
  Json out = Json::object();
  if (value.is_object()) {
    out["type"] = "object";
    for (const auto& [key, item] : value.items()) {
      out["properties"][key] = schema_of(item);
    }
  } else if (value.is_array()) {
    out["type"] = "array";
  } else if (value.is_string()) {
    out["type"] = "string";
  } else if (value.is_boolean()) {
    out["type"] = "boolean";
  } else if (value.is_number_integer()) {
    out["type"] = "integer";
  } else if (value.is_number()) {
    out["type"] = "number";
  } else {
    out["type"] = "null";
  }
  return out;
}

// Text in which the format's own tags stand.
std::string tagged_text(
    RandomJson& random, const std::vector<std::string>& markers) {
  std::string out;
  for (size_t n = random.below(6); n > 0; --n) {
    out += random.one_in(3) ? markers[random.below(markers.size())]
                            : random.text();
  }
  return out;
}

struct Turn {
  FormatInput input;
  std::vector<chat::ToolCall> calls;
};

Turn random_turn(RandomJson& random, const std::vector<std::string>& markers) {
  Turn out;
  for (size_t n = 1 + random.below(3); n > 0; --n) {
    Json arguments = Json::object();
    for (size_t k = random.below(5); k > 0; --k) {
      arguments[random.name()] = random.one_in(2)
                                     ? Json(tagged_text(random, markers))
                                     : random.value(8);
    }
    const std::string name = "tool_" + std::to_string(n);
    chat::Tool tool{.name = name};
    tool.parameters = random.one_in(3) ? Json::object() : schema_of(arguments);
    out.input.tools.push_back(tool);
    out.calls.push_back({"", name, dump_json(arguments)});
  }
  return out;
}

TEST(FormatLaws, WhatIsRenderedIsRead) {
  for (const OutputFormat* format : calling_formats()) {
    if (format->name() == "ui_tars") {
      continue;  // has one tool only: below
    }
    std::vector<std::string> markers = {"<", "</", ">"};
    for (const auto& syntax : format->syntaxes()) {
      const auto more = syntax->markers();
      markers.insert(markers.end(), more.begin(), more.end());
    }
    for (uint64_t seed = 0; seed < 150; ++seed) {
      RandomJson random(seed);
      const Turn turn = random_turn(random, markers);
      const std::string raw =
          format->syntaxes()[0]->render(turn.calls, ToolSet(turn.input));
      std::string want;
      for (const chat::ToolCall& call : turn.calls) {
        want += "\ncall " + call.name + call.arguments;
      }
      const size_t steps[] = {raw.size() + 1, 1, 1 + random.below(40)};
      for (const size_t step : steps) {
        const auto machine = format->start(turn.input);
        auto events = parse(*machine, raw, step);
        for (FormatEvent& event : events) {
          if (auto* call = std::get_if<FormatCall>(&event)) {
            call->arguments = dump_json(*parse_json(call->arguments));
          }
        }
        ASSERT_EQ(joined(events), want)
            << format->name() << " " << seed << " in " << step << "\n"
            << raw;
      }
    }
  }
}

TEST(FormatLaws, RenderedActionsAreRead) {
  const OutputFormat* format = FormatRegistry::global().find("ui_tars");
  FormatInput input;
  input.tools.push_back({.name = "computer", .parameters = Json::object()});
  const std::vector<chat::ToolCall> calls = {
      {"", "computer", R"({"action":"click","point":[200,300]})"},
      {"", "computer", R"({"action":"type","content":"it's \"Action:\"\n"})"},
      {"", "computer", R"({"action":"wait"})"}};
  const auto raw = format->syntaxes()[0]->render(calls, ToolSet(input));
  std::string want;
  for (const chat::ToolCall& call : calls) {
    want += "\ncall " + call.name + call.arguments;
  }
  EXPECT_EQ(joined(parse(*format->start(input), raw, 1)), want) << raw;
}

FormatInput read_and_write() {
  FormatInput input;
  Json read = Json::parse(
      R"({"type":"object","properties":{"path":{"type":"string"},"n":{"type":"integer"}}})");
  input.tools.push_back({.name = "read", .parameters = read});
  input.tools.push_back({.name = "computer", .parameters = Json::object()});
  return input;
}

// Pieces of markup and of calls in any order.
std::string soup(RandomJson& random, const std::vector<std::string>& pieces) {
  std::string out;
  for (size_t n = 1 + random.below(14); n > 0; --n) {
    out +=
        random.one_in(4) ? random.text() : pieces[random.below(pieces.size())];
  }
  return out;
}

std::vector<std::string> pieces_of(const OutputFormat& format) {
  std::vector<std::string> out = {
      R"({"name":"read","arguments":{"path":"/a"}})",
      R"({"name":"no","arguments":{}})",
      R"({"path":"/a","n":"3"})",
      "{'path': 'x'",
      "read",
      "path",
      "\n",
      " ",
      "<think>",
      "</think>",
      "```json\n",
      "```",
      "[Calling tool: read({\"path\":\"/a\"})]",
      "read(path=\"/a\")"};
  for (const auto& syntax : format.syntaxes()) {
    for (int twice = 0; twice < 2; ++twice) {
      const auto more = syntax->markers();
      out.insert(out.end(), more.begin(), more.end());
    }
    const chat::ToolCall call{"", "read", R"({"path":"/a"})"};
    out.push_back(syntax->render({&call, 1}, ToolSet(read_and_write())));
  }
  const auto tokens = kept_tokens(format, nullptr);
  out.insert(out.end(), tokens.begin(), tokens.end());
  return out;
}

TEST(FormatLaws, NoCutChangesAnEvent) {
  for (const OutputFormat* format : calling_formats()) {
    const auto pieces = pieces_of(*format);
    FormatInput input = read_and_write();
    for (uint64_t seed = 0; seed < 400; ++seed) {
      RandomJson random(seed);
      const std::string raw = soup(random, pieces);
      const auto cause =
          random.one_in(2) ? FinishCause::end : FinishCause::length;
      input.thinking = static_cast<Thinking>(random.below(3));
      const auto events = [&](size_t step) {
        return joined(parse(*start_machine(*format, input), raw, step, cause));
      };
      const std::string whole = events(raw.size());
      ASSERT_EQ(events(1), whole) << format->name() << " " << seed << "\n"
                                  << raw;
      ASSERT_EQ(events(1 + random.below(12)), whole)
          << format->name() << " " << seed << "\n"
          << raw;
    }
  }
}

// Llama's tag at the start says what follows; it is no text.
bool begins_with_a_mute_tag(const OutputFormat& format, std::string_view raw) {
  return format.name() == "llama" &&
         trim_blank(raw).starts_with("<|python_tag|>");
}

// Without calls every byte comes out, in order; without tools always.
TEST(FormatLaws, NoByteIsLost) {
  for (const OutputFormat* format : calling_formats()) {
    const auto pieces = pieces_of(*format);
    for (uint64_t seed = 0; seed < 400; ++seed) {
      RandomJson random(seed);
      const std::string raw = soup(random, pieces);
      const FormatInput input =
          random.one_in(4) ? FormatInput{} : read_and_write();
      std::string out;
      bool call = false;
      for (const auto& event : parse(*format->start(input), raw, 3)) {
        if (const auto* text = std::get_if<FormatText>(&event)) {
          out += text->text;
        } else if (const auto* bad = std::get_if<FormatRejected>(&event)) {
          out += bad->raw;
        } else {
          call = true;
        }
      }
      if (!call && !begins_with_a_mute_tag(*format, raw)) {
        ASSERT_EQ(out, raw) << format->name() << " " << seed;
      }
    }
  }
}

// Where a format looked at everything again for each tag, this would take
// hours.
TEST(FormatLaws, WorkIsLinear) {
  const std::vector<std::string> tails = {
      "", "{'", "{\"", "{\"a\":1}x", "read\n"};
  size_t turn = 0;
  for (const OutputFormat* format : calling_formats()) {
    std::vector<std::string> pieces = pieces_of(*format);
    for (const char* more :
         {"{", "[", "{\"name\":", "[{\"name\":\"", "call:", "'", "\"", "<"}) {
      pieces.push_back(more);
    }
    for (const std::string& piece : pieces) {
      const std::string part = piece + tails[turn++ % tails.size()];
      std::string raw;
      while (raw.size() < (1 << 15)) {
        raw += part;
      }
      parse(*start_machine(*format, read_and_write()), raw, 16);
    }
  }
}

}  // namespace
}  // namespace rapid
