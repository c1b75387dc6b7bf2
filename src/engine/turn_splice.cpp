#include "engine/turn_splice.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace rapid {
namespace {

bool is_data(const RenderedPrompt& prompt, size_t begin, size_t end) {
  const auto& spans = prompt.user_spans;
  const auto next = std::ranges::partition_point(
      spans, [&](const TextSpan& span) { return span.end <= begin; });
  return next != spans.end() && next->begin < end;
}

// The next end of a turn from `from` on, wholly before `limit`.
size_t next_end(
    const RenderedPrompt& prompt,
    std::span<const std::string> turn_ends,
    size_t from,
    size_t limit) {
  size_t best = std::string::npos;
  for (const std::string& text : turn_ends) {
    size_t at = prompt.text.find(text, from);
    while (at < limit && is_data(prompt, at, at + text.size())) {
      at = prompt.text.find(text, at + 1);
    }
    if (at < limit && at + text.size() <= limit) {
      best = std::min(best, at);
    }
  }
  return best;
}

bool has_end(std::string_view text, std::span<const std::string> turn_ends) {
  return std::ranges::any_of(turn_ends, [&](const std::string& end) {
    return text.find(end) != std::string_view::npos;
  });
}

std::string_view common_front(std::string_view a, std::string_view b) {
  const auto end = std::ranges::mismatch(a, b).in1;
  return a.substr(0, static_cast<size_t>(end - a.begin()));
}

// The opening of a turn as it stands against the one at generation: they part
// inside the turn, never before it.
bool same_opening(
    const KnownTurn& turn, std::string_view text, const TurnMarks& marks) {
  const std::string_view head = turn.head;
  const std::string_view common = common_front(head, text);
  if (common.empty() || has_end(head.substr(common.size()), marks.ends) ||
      has_end(text.substr(common.size()), marks.ends)) {
    return false;
  }
  return turn.by_place || (!marks.opening.empty() &&
                           common.find(marks.opening) != std::string::npos);
}

// A place in prompt.messages: all spans of one message of the request.
struct Place {
  size_t first = 0;
  size_t last = 0;
};

std::optional<Place> place_of(const RenderedPrompt& prompt, int message) {
  std::optional<Place> out;
  const auto& spans = prompt.messages;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].origin != message) {
      continue;
    }
    if (out && out->last + 1 != i) {
      return std::nullopt;  // another's text is inside
    }
    out = Place{out ? out->first : i, i};
  }
  return out;
}

std::optional<Splice> find_splice(
    const RenderedPrompt& prompt,
    const KnownTurn& turn,
    const TurnMarks& marks) {
  const auto& spans = prompt.messages;
  const auto place = place_of(prompt, turn.message);
  if (!place || place->first == 0 || turn.head.empty()) {
    return std::nullopt;
  }
  const MessageSpan& first = spans[place->first];
  const MessageSpan& last = spans[place->last];
  const MessageSpan& before = spans[place->first - 1];
  if (!turn.by_place && before.message + 1 != first.message) {
    return std::nullopt;  // what is between has no text to tell
  }
  const auto opening = std::string_view(prompt.text)
                           .substr(before.end, first.begin - before.end);
  if (!same_opening(turn, opening, marks)) {
    return std::nullopt;
  }
  const size_t limit = place->last + 1 < spans.size()
                           ? spans[place->last + 1].begin
                           : prompt.text.size();
  size_t end = next_end(prompt, marks.ends, first.begin, limit);
  while (end < last.end) {  // of a thought, or of the content beside calls
    end = first.by_name ? std::string::npos
                        : next_end(prompt, marks.ends, end + 1, limit);
  }
  if (end == std::string::npos) {
    return std::nullopt;
  }
  return Splice{before.end, end, &turn, turn.head};
}

// Tokens of the first `offset` bytes. Where tokens don't spell the text out
// (a tokenizer that puts a space before it) it may be one or two off.
int tokens_before(
    const TextCodec& codec,
    std::span<const int32_t> ids,
    std::string_view text,
    size_t offset) {
  if (offset >= text.size()) {
    return static_cast<int>(ids.size());
  }
  size_t bytes = 0;
  int out = 0;
  for (const int32_t id : ids) {
    bytes += codec.token_bytes(id).size();
    if (bytes > offset) {
      break;
    }
    ++out;
  }
  return out;
}

Json said(const char* role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

std::string between(
    const std::string& text, std::string_view first, std::string_view second) {
  const size_t begin = text.find(first);
  if (begin == std::string::npos) {
    return "";
  }
  const size_t from = begin + first.size();
  const size_t end = second.empty() ? text.size() : text.find(second, from);
  return end == std::string::npos ? "" : text.substr(from, end - from);
}

}  // namespace

TurnMarks probe_turn_marks(
    const RenderTemplate& render, std::vector<std::string> end_tokens) {
  constexpr std::string_view kAsked = "probe-question";
  constexpr std::string_view kSaid = "probe-answer";
  constexpr std::string_view kNext = "probe-next";
  TurnMarks out{.ends = std::move(end_tokens)};
  std::erase(out.ends, "");
  TemplateInput input;
  input.messages = Json::array({said("user", kAsked)});
  const auto asked = render(input);
  input.messages.push_back(said("assistant", kSaid));
  input.messages.push_back(said("user", kNext));
  const auto whole = render(input);
  if (!asked || !whole) {
    return out;
  }
  const std::string opening = between(whole->text, kAsked, kSaid);
  out.opening = common_front(between(asked->text, kAsked, ""), opening);
  const std::string tail = between(whole->text, kSaid, kNext);
  const size_t at = tail.find_first_not_of(" \n");
  const size_t close = tail.find('>');
  if (!has_end(tail, out.ends) && at != std::string::npos && tail[at] == '<' &&
      close != std::string::npos) {
    out.ends.push_back(tail.substr(at, close + 1 - at));
  }
  return out;
}

std::vector<Splice> find_splices(
    const RenderedPrompt& prompt,
    std::span<const KnownTurn> known,
    const TurnMarks& marks) {
  std::vector<Splice> out;
  for (const KnownTurn& turn : known) {
    auto splice = find_splice(prompt, turn, marks);
    if (!splice) {
      continue;
    }
    const size_t from = out.empty() ? 0 : out.back().end;
    if (splice->begin < from) {
      // Nothing behind the turn before has text to be known by: this one's
      // head begins within it.
      const size_t inside = from - splice->begin;
      const auto text = std::string_view(prompt.text);
      if (!splice->head.starts_with(text.substr(splice->begin, inside))) {
        continue;
      }
      splice->head.remove_prefix(inside);
      splice->begin = from;
    }
    out.push_back(*splice);
  }
  return out;
}

std::vector<int32_t> encode_spliced(
    const TextCodec& codec,
    const RenderedPrompt& prompt,
    std::span<const Splice> splices,
    std::span<TextMark> marks) {
  std::vector<int32_t> out;
  size_t at = 0;
  const auto add = [&](size_t end, std::string_view head) {
    std::vector<TextSpan> untrusted;
    for (const TextSpan& span : prompt.user_spans) {
      const size_t from = std::max(span.begin, at);
      const size_t to = std::min(span.end, end);
      if (from < to) {
        untrusted.push_back({from - at, to - at});
      }
    }
    std::string text = prompt.text.substr(at, end - at);
    text += head;
    const auto ids = codec.encode(
        text,
        {.add_special = false, .parse_special = true, .untrusted = untrusted});
    for (TextMark& mark : marks) {
      if (mark.offset >= at && mark.offset <= end) {
        mark.tokens = static_cast<int>(out.size()) +
                      tokens_before(codec, ids, text, mark.offset - at);
      }
    }
    out.insert(out.end(), ids.begin(), ids.end());
  };
  for (const Splice& splice : splices) {
    add(splice.begin, splice.head);
    const auto& tokens = splice.turn->tokens;
    out.insert(out.end(), tokens.begin(), tokens.end());
    at = splice.end;
  }
  add(prompt.text.size(), "");
  return out;
}

std::string head_of(const RenderedPrompt& prompt) {
  return prompt.messages.empty()
             ? ""
             : prompt.text.substr(prompt.messages.back().end);
}

}  // namespace rapid
