// Turns that the ledger knows, put into a rendered prompt as the tokens they
// were generated as. Pure values; no threads.
//
// In the rendered text a known turn reaches from the last character of the
// messages before it to the text that ends it. What stands there is taken
// out; in comes `head`, the end of the prompt that the turn was the answer to
// (the opening of the turn, and of a thought), and behind it its tokens. All
// else is tokenised as it stands. So a prompt begins with the very ids of the
// prompt before and of its answer, whatever the template makes of old turns.
//
// A turn whose place is not beyond doubt stays as it was rendered.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/template_support.h"
#include "engine/text_codec.h"

namespace rapid {

// What the template writes around an assistant's turn.
struct TurnMarks {
  std::vector<std::string> ends;  // any of these ends it
  std::string opening;            // from the question to the turn
};

// Two renders. `end_tokens`: as text.
TurnMarks probe_turn_marks(
    const RenderTemplate& render, std::vector<std::string> end_tokens);

struct KnownTurn {
  int message = 0;  // its index in the request
  std::string head;
  std::vector<int32_t> tokens;
  bool by_place = false;  // the messages before it are the same as then
  bool hidden = false;
};

struct Splice {
  size_t begin = 0;  // in the rendered text: `head` and the tokens instead
  size_t end = 0;    // the text that ends the turn begins here
  const KnownTurn* turn = nullptr;
  std::string_view head;  // of the turn's, what is left of it
};

// In order.
std::vector<Splice> find_splices(
    const RenderedPrompt& prompt,
    std::span<const KnownTurn> known,
    const TurnMarks& marks);

// A place in the rendered text, and the tokens that lie wholly before it.
struct TextMark {
  size_t offset = 0;
  int tokens = 0;  // 0: not known, it is within a splice
};

// `marks`: ascending; their tokens are filled in.
std::vector<int32_t> encode_spliced(
    const TextCodec& codec,
    const RenderedPrompt& prompt,
    std::span<const Splice> splices,
    std::span<TextMark> marks = {});

// The prompt's end behind the last message's text; "" when that is unknown.
std::string head_of(const RenderedPrompt& prompt);

}  // namespace rapid
