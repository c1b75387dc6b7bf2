// Reasoning between tags, before or instead of the answer: how models write it,
// and the machine that tells it from content.
//
// A block opens at the beginning of the output only (a tag later on is text),
// or before it, where the prompt ended with the opening tag. White space next
// to the tags is markup, and so is a closing tag at the very beginning. What is
// still open at the end was reasoning. A call inside a block is a call: the
// format's own machine reads the block, too.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/channel_machine.h"
#include "formats/format.h"

namespace rapid {

struct ReasoningStyle {
  std::string_view name;
  std::vector<std::string_view> aliases;
  std::string_view open;
  std::string_view close;
  // Output that does not begin with the tag is reasoning up to the closing
  // tag, unless the prompt closed a block.
  bool implicit = false;
  // Other tags that the model may write instead: opening and closing.
  std::vector<std::pair<std::string_view, std::string_view>> also = {};
  // Of output that does not begin with a tag, how many bytes may come before
  // a closing tag that makes them reasoning: where the prompt's end is not
  // known, it may have opened the block.
  size_t patience = 64;
  // Tags within the answer that are no text.
  std::vector<std::string> dropped = {};
  // Text that ends an open block, too, and belongs to what follows.
  std::vector<std::string> soft_closes = {};
  // What opens the answer behind the reasoning, where a tag's end does not.
  std::string_view answer_header = {};
  // What stands between two messages of one turn.
  std::string_view next_message = {};
  // Instead of tags: messages with headers.
  const ChannelShape* channels = nullptr;
};

const std::vector<ReasoningStyle>& reasoning_styles();
const ReasoningStyle* find_reasoning_style(std::string_view name_or_alias);
// The style whose tags a chat template writes, or null.
const ReasoningStyle* reasoning_of_template(std::string_view source);

// What a prompt ends with: an open block, a closed one, or neither.
Thinking thinking_of_prompt(
    const ReasoningStyle& style, std::string_view prompt_end);

// The style that was chosen, else the one that the format owns, else null.
const ReasoningStyle* reasoning_for(
    const OutputFormat& format, const ReasoningStyle* chosen);

// The format's machine, with the reasoning of `input` taken off first.
std::unique_ptr<FormatMachine> start_machine(
    const OutputFormat& format, const FormatInput& input);

// The tokens whose text that machine must see.
std::vector<std::string> kept_tokens(
    const OutputFormat& format, const ReasoningStyle* reasoning);

}  // namespace rapid
