// Reads calls between tags: see tag_syntax.h.
#include <algorithm>
#include <set>
#include <utility>

#include "formats/json_call.h"
#include "formats/json_extent.h"
#include "formats/members.h"
#include "formats/tag_value.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr std::string_view kFence = "```";
constexpr size_t kFarProse = 1024;  // between a section's tag and a call

// What became of a part of the text.
enum class Got { more, no, yes, bad };

class TagReader {
 public:
  TagReader(
      const TagShape& shape,
      std::span<const std::string> openers,
      std::string_view text,
      const ReadContext& context)
      : shape_(shape), openers_(openers), text_(text), context_(context) {
    starts_.assign(openers.begin(), openers.end());
    starts_.insert(
        starts_.end(),
        shape.section_closes.begin(),
        shape.section_closes.end());
  }

  SyntaxRead run() {
    Got got = read_section_open();
    for (bool first = true; got == Got::yes; first = false) {
      got = read_call();
      if (got == Got::no && !first) {
        break;
      }
      if (got != Got::yes) {
        return got == Got::bad ? refuse() : result(got);
      }
      if (!in_section_) {
        break;
      }
      got = to_next_call();
    }
    return got == Got::more ? SyntaxRead::wait()
           : got == Got::no ? result(calls_ > 0 ? Got::yes : Got::no)
                            : result(Got::yes);
  }

 private:
  bool end() const { return context_.end; }
  // What was looked at; npos: all.
  void spend_to(size_t from, size_t to) const {
    context_.spend(std::min(to, text_.size()) - std::min(from, text_.size()));
  }
  bool at_end() const { return at_ >= text_.size(); }

  SyntaxRead result(Got got) {
    if (got == Got::more) {
      return SyntaxRead::wait();
    }
    if (got == Got::no) {
      return {};
    }
    SyntaxRead out{SyntaxRead::Kind::done, at_, std::move(events_)};
    if (!has_call(out.events)) {
      out.events.clear();
      push_text(text_.substr(0, at_), out.events);
    }
    return out;
  }

  // A call that is ours, but broken.
  SyntaxRead refuse() {
    if (!context_.own || tool_unknown_) {
      at_ = bad_end_;
      return tool_unknown_ && bad_end_ > 0 ? result(Got::yes) : SyntaxRead{};
    }
    SyntaxRead out{SyntaxRead::Kind::done, bad_end_, std::move(events_)};
    const size_t begin = has_call(out.events) ? call_begin_ : 0;
    out.events.push_back(FormatRejected{
        std::string(text_.substr(begin, bad_end_ - begin)), why_, cut_});
    return out;
  }

  Got bad(std::string why, size_t until, bool cut = false) {
    why_ = std::move(why);
    bad_end_ = until;
    cut_ = cut;
    return Got::bad;
  }

  // The end of a broken call: its closing tag, or where another begins.
  Got bad_somewhere(std::string why, size_t from) {
    const TagFound close = find_any(text_, from, shape_.closes);
    const TagFound stop = find_any(text_, from, starts_);
    spend_to(from, std::max(close.at, stop.at));
    if (close.at == text_.npos && stop.at == text_.npos) {
      return end() ? bad(std::move(why), text_.size(), true) : Got::more;
    }
    const TagMatch longest = match_any(text_, close.at, shape_.closes, end());
    if (close.at < stop.at && longest.match == Match::maybe) {
      return Got::more;
    }
    return bad_until(
        std::move(why), close.at < stop.at ? close.at + longest.size : stop.at);
  }

  // A broken call that ends at `until`, with the end of its section.
  Got bad_until(std::string why, size_t until) {
    if (in_section_) {
      const size_t next = skip_blank(text_, until);
      const TagMatch section =
          match_any(text_, next, shape_.section_closes, end());
      if (section.match == Match::maybe || (next >= text_.size() && !end())) {
        return Got::more;
      }
      until = section.match == Match::yes ? next + section.size : until;
    }
    return bad(std::move(why), until);
  }

  Got read_section_open() {
    TagMatch open = match_any(text_, at_, shape_.section_opens, end());
    if (open.match != Match::yes) {
      return shape_.needs_section || open.match == Match::maybe
                 ? (open.match == Match::maybe ? Got::more : Got::no)
                 : Got::yes;
    }
    for (int doubled = 0; open.match == Match::yes && doubled < 2; ++doubled) {
      in_section_ = true;
      at_ = skip_blank(text_, at_ + open.size);
      open = match_any(text_, at_, shape_.section_opens, end());
    }
    if (open.match == Match::maybe) {
      return Got::more;
    }
    return to_call(true);
  }

  // The next call of the section, over prose that may stand before it.
  Got to_call(bool first) {
    at_ = skip_blank(text_, at_);
    const TagMatch open = match_any(text_, at_, shape_.opens, end());
    if (open.match != Match::no) {
      return open.match == Match::yes ? Got::yes : Got::more;
    }
    if (!context_.own || (first && !at_end() && text_[at_] == '{')) {
      return Got::no;
    }
    const std::string_view near = text_.substr(0, at_ + 2 * kFarProse);
    const TagFound call = find_any(near, at_, shape_.opens);
    const TagFound close = find_any(near, at_, shape_.section_closes);
    const size_t stop = std::min(call.at, close.at);
    if (stop == text_.npos) {
      return !end() && text_.size() - at_ < kFarProse ? Got::more : Got::no;
    }
    if (stop - at_ >= kFarProse || (first && close.at < call.at)) {
      return Got::no;
    }
    prose_ = text_.substr(at_, stop - at_);
    at_ = stop;
    return call.at < close.at ? Got::yes : Got::no;
  }

  // Behind a call in a section.
  Got to_next_call() {
    const size_t behind = at_;
    at_ = skip_blank(text_, at_);
    if (at_end()) {
      return end() ? Got::no : Got::more;
    }
    TagMatch close = match_any(text_, at_, shape_.section_closes, end());
    if (close.match == Match::no) {
      const Got got = to_call(false);
      if (got != Got::no) {
        return got;
      }
      close = match_any(text_, at_, shape_.section_closes, end());
    }
    if (close.match == Match::maybe) {
      return Got::more;
    }
    if (close.match == Match::no) {
      at_ = behind;
      prose_ = {};
      return Got::no;
    }
    push_prose(std::exchange(prose_, {}), events_);
    at_ += close.size;
    return Got::no;
  }

  Got read_call() {
    push_prose(std::exchange(prose_, {}), events_);
    call_begin_ = at_;
    TagMatch open = match_any(text_, at_, shape_.opens, end());
    if (open.match != Match::yes) {
      return open.match == Match::maybe ? Got::more : Got::no;
    }
    at_ += open.size;
    const Got named = read_name();
    if (named != Got::yes) {
      return named;
    }
    at_ = skip_blank(text_, at_);
    for (const std::string_view fence : {"```json", "```"}) {
      const Match match = match_tag(text_, at_, fence, end());
      if (match == Match::maybe && text_.size() > at_) {
        return Got::more;
      }
      fenced_ = match == Match::yes;
      if (fenced_) {
        at_ = skip_blank(text_, at_ + fence.size());
        break;
      }
    }
    if (at_end() && !end()) {
      return Got::more;
    }
    tool_ = context_.tools.find(name_);
    tool_unknown_ = tool_ == nullptr;
    if (!at_end() && text_[at_] == '{') {
      return read_json();
    }
    return shape_.params.open.empty() ? read_nothing() : read_parameters();
  }

  Got read_name() {
    at_ = skip_blank(text_, at_);
    const TagMatch prefix = match_any(text_, at_, shape_.name_prefixes, end());
    if (prefix.match == Match::maybe) {
      return Got::more;
    }
    if (prefix.match == Match::yes) {
      at_ = skip_blank(text_, at_ + prefix.size);
    } else if (shape_.needs_prefix) {
      return Got::no;
    }
    at_ = skip(text_, at_, " \"'");
    const size_t begin = at_;
    while (!at_end() && (is_name_char(text_[at_]) || text_[at_] == ':' ||
                         text_[at_] == '/')) {
      ++at_;
    }
    name_ = text_.substr(begin, at_ - begin);
    if (at_end() && !end()) {
      return Got::more;
    }
    if (name_.empty()) {
      return Got::no;
    }
    return read_name_end();
  }

  Got read_name_end() {
    if (!shape_.id_open.empty()) {
      const Match id = match_tag(text_, at_, shape_.id_open, end());
      if (id == Match::maybe) {
        return Got::more;
      }
      if (id == Match::yes) {
        at_ += shape_.id_open.size();
        while (!at_end() && is_name_char(text_[at_])) {
          ++at_;
        }
      }
    }
    const size_t next = skip(text_, at_, " \"'");
    for (const size_t place : {at_, next}) {
      const TagMatch stop = match_any(text_, place, shape_.name_ends, end());
      if (stop.match == Match::maybe) {
        return Got::more;
      }
      if (stop.match == Match::yes) {
        at_ = place + stop.size;
        return Got::yes;
      }
    }
    // The tag behind the name is missing.
    const size_t body = skip_blank(text_, at_);
    if (body >= text_.size()) {
      return end() ? Got::no : Got::more;
    }
    std::vector<std::string> bodies = {"{"};
    if (!shape_.params.open.empty()) {
      bodies.push_back(shape_.params.open);
    }
    bodies.insert(bodies.end(), shape_.closes.begin(), shape_.closes.end());
    const TagMatch known = match_any(text_, body, bodies, end());
    if (known.match == Match::maybe) {
      return Got::more;
    }
    at_ = body;
    return known.match == Match::yes ? Got::yes : Got::no;
  }

  Got read_json() {
    const JsonExtent extent =
        json_extent(text_, at_, shape_.closes, starts_, end(), shape_.quote);
    context_.spend(extent.looked - at_);
    if (!extent.decided) {
      return Got::more;
    }
    const bool cut = context_.cut && !extent.closed;
    std::string_view body = trim_blank(text_.substr(at_, extent.end - at_));
    if (fenced_ && !extent.complete && body.ends_with(kFence)) {
      body.remove_suffix(kFence.size());
    }
    const auto arguments = parse_json_arguments(
        body, cut ? Ending::cut : Ending::real, shape_.quote);
    if (!arguments) {
      return extent.closed ? bad_until(arguments.error().what, extent.next)
                           : bad(arguments.error().what, extent.next, end());
    }
    at_ = extent.next;
    if (const size_t fence = skip_blank(text_, at_);
        fenced_ && match_tag(text_, fence, kFence, true) == Match::yes) {
      at_ = fence + kFence.size();
    }
    take(arguments->value, arguments->raw);
    push_prose(extent.junk, events_);
    return Got::yes;
  }

  // No arguments at all.
  Got read_nothing() {
    const TagMatch close = match_any(text_, at_, shape_.closes, end());
    if (close.match == Match::yes && (context_.own || in_section_)) {
      at_ += close.size;
      take(Json::object(), "{}");
      return Got::yes;
    }
    if (close.match != Match::no) {
      return close.match == Match::maybe ? Got::more : Got::no;
    }
    if (at_end()) {
      return bad("the call is cut off", text_.size(), true);
    }
    return bad_somewhere("the arguments are not a JSON object", at_);
  }

  void take(const Json& arguments, std::string_view raw) {
    ++calls_;
    push_call(
        context_.tools,
        name_,
        arguments,
        raw,
        text_.substr(call_begin_, at_ - call_begin_),
        events_);
  }

  Got read_parameters() {
    Json arguments;
    Members members(arguments);
    std::set<std::string, std::less<>> seen;
    const size_t begin = at_;
    stray_.clear();
    while (true) {
      at_ = skip_blank(text_, at_);
      const Got got = read_parameter(members, seen);
      if (got == Got::bad || got == Got::more) {
        return got;
      }
      if (got == Got::no) {
        break;
      }
    }
    if (shape_.shy && !in_section_ && seen.empty() &&
        !context_.tools.is_forced(name_)) {
      push_text(text_.substr(call_begin_, at_ - call_begin_), events_);
      return Got::yes;
    }
    if (seen.empty() && !trim_blank(stray_).empty()) {
      return bad_somewhere("the arguments are not parameters", begin);
    }
    push_prose(stray_, events_);
    take(arguments, "");
    return Got::yes;
  }

  // Got::no: the call ends here.
  Got read_parameter(
      Members& members, std::set<std::string, std::less<>>& seen) {
    if (at_end()) {
      if (!end()) {
        return Got::more;
      }
      return seen.empty() && takes_parameters()
                 ? bad("the call is cut off", text_.size(), true)
                 : Got::no;
    }
    if (end() && !seen.empty() && cut_close()) {
      at_ = text_.size();
      return Got::no;
    }
    const TagMatch close = match_any(text_, at_, shape_.closes, end());
    if (close.match == Match::yes) {
      at_ += close.size;
      return Got::no;
    }
    const Match open = match_tag(text_, at_, shape_.params.open, end());
    const TagMatch stop = match_any(text_, at_, starts_, end());
    if (open != Match::yes) {
      if (stop.match == Match::yes) {
        return Got::no;
      }
      if (open == Match::maybe || close.match == Match::maybe ||
          stop.match == Match::maybe) {
        return end() ? bad("the call is cut off", text_.size(), true)
                     : Got::more;
      }
      return read_stray();
    }
    return read_value_at(at_ + shape_.params.open.size(), members, seen);
  }

  bool takes_parameters() const {
    if (tool_ == nullptr || !tool_->parameters.is_object()) {
      return true;
    }
    const auto found = tool_->parameters.find("properties");
    return found != tool_->parameters.end() && !found->empty();
  }

  // The end of the text cut the tag that closes the call.
  bool cut_close() const {
    const std::string_view rest = text_.substr(at_);
    const auto begins = [&](const std::string& tag) {
      return tag.size() > rest.size() && tag.starts_with(rest);
    };
    return std::ranges::any_of(shape_.closes, begins) ||
           std::ranges::any_of(shape_.section_closes, begins);
  }

  // Text between parameters stays text, if the call goes on or ends near by.
  Got read_stray() {
    const size_t stop = std::min(
        {text_.find(shape_.params.open, at_),
         find_any(text_, at_, shape_.closes).at,
         find_any(text_, at_, starts_).at});
    spend_to(at_, text_.npos);
    if (stop == text_.npos && !end()) {
      return Got::more;
    }
    const size_t until = std::min(stop, text_.size());
    if (stop == text_.npos && text_[at_] == '<') {
      return bad("the call is cut off", text_.size(), true);
    }
    if (stop == text_.npos) {
      return calls_ == 0 && text_[at_] != '<'
                 ? bad_somewhere("the call has no parameters", at_)
                 : Got::no;
    }
    stray_ += text_.substr(at_, until - at_);
    at_ = until;
    return Got::yes;
  }

  Got read_value_at(
      size_t key_begin,
      Members& members,
      std::set<std::string, std::less<>>& seen) {
    const ParameterShape& params = shape_.params;
    const size_t key_end = text_.find(params.key_end, key_begin);
    spend_to(key_begin, key_end);
    if (key_end == text_.npos) {
      return end() ? bad("the call is cut off", text_.size(), true) : Got::more;
    }
    std::string key(key_text(text_.substr(key_begin, key_end - key_begin)));
    size_t begin = key_end + params.key_end.size();
    std::string_view attributes;
    if (params.key_end == "\"") {
      const size_t stop = text_.find('>', begin);
      spend_to(begin, stop);
      if (stop == text_.npos) {
        return end() ? bad("the call is cut off", text_.size(), true)
                     : Got::more;
      }
      attributes = text_.substr(begin, stop - begin);
      begin = stop + 1;
    }
    if (!params.value_open.empty()) {
      const size_t next = skip_blank(text_, begin);
      const Match open = match_tag(text_, next, params.value_open, end());
      if (open == Match::maybe) {
        return Got::more;
      }
      begin = next + (open == Match::yes ? params.value_open.size() : 0);
    }
    const ValueEnd value = find_value_end(
        text_, begin, seen, {shape_, openers_, tool_, in_section_, end()});
    spend_to(begin, value.looked);
    if (value.kind == ValueEnd::Kind::more) {
      return Got::more;
    }
    if (value.kind == ValueEnd::Kind::cut) {
      return bad("the call is cut off", text_.size(), true);
    }
    members.set(
        key,
        read_value(
            shape_,
            tool_,
            key,
            attributes,
            text_.substr(begin, value.end - begin)));
    seen.insert(std::move(key));
    at_ = value.next;
    return Got::yes;
  }

  const TagShape& shape_;
  std::span<const std::string> openers_;
  std::vector<std::string> starts_;  // where a call without closing tag ends
  std::string_view text_;
  const ReadContext& context_;

  size_t at_ = 0;
  bool in_section_ = false;
  size_t call_begin_ = 0;
  std::string_view name_;
  const chat::Tool* tool_ = nullptr;
  bool tool_unknown_ = false;
  std::string_view prose_;
  bool fenced_ = false;  // the arguments stand in a fence
  std::string stray_;    // text where parameters should stand
  int calls_ = 0;
  std::string why_;
  size_t bad_end_ = 0;
  bool cut_ = false;
  std::vector<FormatEvent> events_;
};

}  // namespace

SyntaxRead TagSyntax::read(
    std::string_view text, const ReadContext& context) const {
  if (!fits(context.own ? shape_.own : shape_.foreign, context)) {
    return {};
  }
  return TagReader(shape_, openers_, text, context).run();
}

}  // namespace rapid
