// Output as messages with a header that says where they go: the user, the
// model itself (reasoning) or a tool. Headers and end marks of text are
// markup; a message to a tool goes through as it stands, for the syntax of
// the call to read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace rapid {

enum class Route { content, reasoning, call };

struct ChannelShape {
  std::vector<std::string> header_opens;
  // What a header begins with, else its mark is text; empty: anything.
  std::vector<std::string> header_words;
  std::vector<std::string> header_closes;
  std::vector<std::string> body_ends;
  // In the answer only an end mark that another mark or the end follows
  // counts, before that it is text.
  bool ends_at_border = false;
  // By the text between the header's marks.
  Route (*route)(std::string_view header) = nullptr;
  // What the prompt has written of the first header already: the output may
  // begin with the rest of it. "" = the output begins outside.
  std::string implied_header;
  // The header that the prompt ends with when it opened a thought.
  std::string thought_header;
};

// `format` reads the answer and each thought, as `input` says.
std::unique_ptr<FormatMachine> make_channel_machine(
    const ChannelShape& shape,
    const OutputFormat& format,
    const FormatInput& input);

// Of what was found in a thought only calls are more than reasoning.
void pass_thought(
    std::vector<FormatEvent>& events, std::vector<FormatEvent>& out);

}  // namespace rapid
