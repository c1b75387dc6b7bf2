#include <gtest/gtest.h>

#include <random>

#include "engine/rewindable_machine.h"
#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {
namespace {

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

std::string random_text(
    std::mt19937& random, const std::vector<std::string>& words) {
  std::string out;
  for (size_t n = random() % 8; n > 0; --n) {
    out += words[random() % words.size()];
  }
  return out;
}

void append(std::vector<FormatEvent>& to, std::vector<FormatEvent> from) {
  for (FormatEvent& event : from) {
    to.push_back(std::move(event));
  }
}

// Wrong ways are taken and taken back; what is left reads as the text alone.
TEST(RewindableMachine, WhatIsUndoneLeavesNoTrace) {
  const std::vector<std::string> words = {
      "Hi ",
      "<tool_call>",
      "</tool_call>",
      R"({"name": "read", "arguments": {"p": 1}})",
      R"({"name": "read", "arguments": {]})",
      "<think>",
      "</think>",
      "Grüße\n",
      "<|channel|>analysis<|message|>",
      "<|end|>",
      "[",
      "```json\n",
      "<function=read>"};
  std::mt19937 random(1);
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    FormatInput input;
    input.tools = {{.name = "read"}};
    input.reasoning = reasoning_for(*format, find_reasoning_style("qwen3"));
    for (int round = 0; round < 40; ++round) {
      const std::string text =
          random_text(random, words) + random_text(random, words);
      std::vector<FormatEvent> plain;
      const auto machine = start_machine(*format, input);
      machine->feed(text, plain);
      machine->finish(FinishCause::end, plain);

      std::vector<FormatEvent> events;
      RewindableMachine rewindable(*format, input);
      for (size_t at = 0; at < text.size();) {
        if (random() % 3 == 0) {
          // Not so far that the walk would never arrive.
          const size_t back =
              random() % (std::min<size_t>(rewindable.held(), 8) + 1);
          std::vector<FormatEvent> wrong;
          if (random() % 4 == 0) {
            rewindable.finish(FinishCause::end, wrong);
          } else {
            rewindable.feed(random_text(random, words) + "x", wrong);
          }
          at -= back;
          std::vector<FormatEvent> given;
          rewindable.undo(at, given);
          append(events, given);
          ASSERT_EQ(rewindable.text(), text.substr(0, at));
        }
        const size_t size = 1 + random() % 9;
        rewindable.feed(text.substr(at, size), events);
        at += std::min(size, text.size() - at);
      }
      rewindable.finish(FinishCause::end, events);
      EXPECT_EQ(joined(events), joined(plain))
          << format->name() << " with " << text;
    }
  }
}

}  // namespace
}  // namespace rapid
