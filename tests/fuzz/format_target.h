// What the fuzzer of formats does with one input; the corpus replay does the
// same. The first two bytes choose the format and what is known of it.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {

inline std::string format_events(
    const OutputFormat& format,
    const FormatInput& input,
    std::string_view raw,
    size_t step,
    FinishCause cause) {
  const auto machine = start_machine(format, input);
  std::vector<FormatEvent> events;
  for (size_t at = 0; at < raw.size(); at += step) {
    machine->feed(raw.substr(at, step), events);
  }
  machine->finish(cause, events);
  std::string out;
  size_t last = 4;
  for (const FormatEvent& event : events) {
    out += event.index() == last ? "" : "\n" + std::to_string(event.index());
    last = event.index();
    if (const auto* text = std::get_if<FormatText>(&event)) {
      out += text->text;
    } else if (const auto* thought = std::get_if<FormatReasoning>(&event)) {
      out += thought->text;
    } else if (const auto* call = std::get_if<FormatCall>(&event)) {
      out += call->name + call->arguments + "\n";
    } else if (const auto* bad = std::get_if<FormatRejected>(&event)) {
      out += bad->raw + bad->reason + "\n";
    }
  }
  return out;
}

// Aborts where a cut changes what is found.
inline void fuzz_formats(std::string_view bytes) {
  if (bytes.size() < 3) {
    return;
  }
  static const auto formats = FormatRegistry::global().all();
  const OutputFormat& format =
      *formats[static_cast<unsigned char>(bytes[0]) % formats.size()];
  const auto bits = static_cast<unsigned char>(bytes[1]);
  FormatInput input;
  input.thinking = static_cast<Thinking>(bits % 3);
  for (const char* name : {"read", "computer"}) {
    input.tools.push_back({.name = name, .parameters = Json::object()});
  }
  const auto cause = bits & 64 ? FinishCause::length : FinishCause::end;
  const std::string_view raw = bytes.substr(2);
  const std::string whole =
      format_events(format, input, raw, raw.size(), cause);
  if (format_events(format, input, raw, 1, cause) != whole) {
    std::abort();
  }
}

}  // namespace rapid
