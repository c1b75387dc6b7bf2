#include "engine/prompt_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "cache/canonical_arguments.h"

namespace rapid {
namespace {

using chat::CacheReport;
using chat::Message;

constexpr size_t kMostPrompts = 64;
constexpr size_t kMostBytes = size_t{64} << 20;
constexpr size_t kMostReports = 256;

size_t common_bytes(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

bool is_system(const Message& message) {
  return message.role == "system" || message.role == "developer";
}

const Message* first_said(const LoggedPrompt& prompt) {
  const auto found = std::ranges::find_if_not(prompt.messages, is_system);
  return found == prompt.messages.end() ? nullptr : &*found;
}

// What the model reads of calls; ids and white space are no difference.
std::string calls_text(const Message& message) {
  std::string out;
  for (const chat::ToolCall& call : message.tool_calls) {
    out += call.name + " " + canonical_arguments(call.arguments) + "\n";
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  return first == text.npos
             ? ""
             : text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

// Fills field and byte; false: the same.
bool differ(const Message& old, const Message& now, CacheReport& report) {
  if (old.role != now.role) {
    report.field = "role";
    return true;
  }
  const bool turn = now.role == "assistant";
  const auto a = turn ? trimmed(old.content) : std::string_view(old.content);
  const auto b = turn ? trimmed(now.content) : std::string_view(now.content);
  if (a != b) {
    report.field = "content";
    report.byte = static_cast<int64_t>(common_bytes(a, b));
    return true;
  }
  const std::string old_calls = calls_text(old);
  const std::string new_calls = calls_text(now);
  if (old_calls != new_calls) {
    report.field = "tool_calls";
    report.byte = static_cast<int64_t>(common_bytes(old_calls, new_calls));
    return true;
  }
  return false;
}

// The first thing that is not as it was, in the order of a prompt.
void find_difference(
    const LoggedPrompt& old, const LoggedPrompt& now, CacheReport& report) {
  using Kind = CacheReport::Kind;
  const Message* first = first_said(now);
  const Message* was = first_said(old);
  if (first == nullptr || was == nullptr || differ(*was, *first, report)) {
    report.kind = Kind::new_conversation;
    report.field.clear();
    report.byte = -1;
    return;
  }
  if (old.template_kwargs != now.template_kwargs) {
    report.kind = Kind::template_changed;
    report.field = "template";
    report.byte = static_cast<int64_t>(
        common_bytes(old.template_kwargs, now.template_kwargs));
    return;
  }
  if (old.tools != now.tools) {
    report.kind = Kind::tools_changed;
    report.field = "tools";
    report.byte = static_cast<int64_t>(common_bytes(old.tools, now.tools));
    return;
  }
  const size_t count = std::min(old.messages.size(), now.messages.size());
  for (size_t i = 0; i < count; ++i) {
    const Message& message = now.messages[i];
    if (!differ(old.messages[i], message, report)) {
      continue;
    }
    report.kind =
        is_system(message) ? Kind::system_changed : Kind::history_edited;
    report.message = static_cast<int>(i);
    report.role = message.role;
    return;
  }
  // An answer that came back: it stands right behind the earlier messages.
  for (const int turn : now.retokenised) {
    if (static_cast<size_t>(turn) <= old.messages.size()) {
      report.kind = Kind::turn_retokenised;
      report.message = turn;
      report.role = "assistant";
      report.field = "content";
      if (std::ranges::find(old.retokenised, turn) == old.retokenised.end()) {
        return;
      }
    }
  }
  if (report.kind != Kind::turn_retokenised) {
    report.kind = Kind::template_changed;
    report.field = "template";
  }
}

}  // namespace

size_t LoggedPrompt::bytes() const {
  size_t out = ids.size() * sizeof(int32_t) + tools.size();
  for (const Message& message : messages) {
    out += sizeof(message) + message.content.size();
    for (const chat::ToolCall& call : message.tool_calls) {
      out += call.arguments.size();
    }
  }
  return out;
}

std::shared_ptr<LoggedPrompt> PromptLog::open(
    const chat::Request& request, const EnginePrompt& prompt) {
  auto out = std::make_shared<LoggedPrompt>();
  out->id = request.id;
  out->messages = request.messages;
  Json tools = Json::array();
  for (const chat::Tool& tool : request.tools) {
    if (tool.deferred) {
      continue;
    }
    tools.push_back(
        tool.declaration.is_null()
            ? Json::array({tool.name, tool.description, tool.parameters})
            : tool.declaration);
  }
  out->tools = dump_json(tools);
  out->template_kwargs = dump_json(request.template_kwargs);
  out->retokenised = prompt.retokenised;
  out->ids = prompt.ids;
  out->adapter = request.adapter;
  out->cached = request.use_cache && !(request.echo && request.logprobs);
  return out;
}

PromptLog::Earlier PromptLog::nearest(const LoggedPrompt& prompt) const {
  Earlier best;
  Earlier same;  // of the same conversation, by its first message
  const Message* said = first_said(prompt);
  for (const Logged& each : prompts_) {
    if (each->adapter != prompt.adapter) {
      continue;
    }
    const auto common = static_cast<size_t>(
        std::ranges::mismatch(each->ids, prompt.ids).in1 - each->ids.begin());
    if (common > 0 && common >= best.common) {
      best = {each, common};
    }
    CacheReport none;
    const Message* other = first_said(*each);
    if (said != nullptr && other != nullptr && !differ(*other, *said, none) &&
        (!same.prompt || common >= same.common)) {
      same = {each, common};
    }
  }
  return same.prompt ? same : best;
}

CacheReport PromptLog::explain(const LoggedPrompt& prompt, int cached_tokens) {
  using Kind = CacheReport::Kind;
  std::lock_guard lock(mutex_);
  CacheReport out;
  out.id = prompt.id;
  out.prompt_tokens = static_cast<int>(prompt.ids.size());
  out.cached_tokens = cached_tokens;
  const Earlier earlier = nearest(prompt);
  // The last token is always evaluated.
  out.common_tokens =
      static_cast<int>(std::min(earlier.common, prompt.ids.size() - 1));
  if (!prompt.cached) {
    out.kind = Kind::off;
  } else if (!earlier.prompt) {
    out.kind = Kind::new_conversation;
  } else {
    out.earlier = earlier.prompt->id;
    const auto known = static_cast<int>(earlier.prompt->ids.size());
    const int lost = std::min(known, out.prompt_tokens) - out.common_tokens;
    if (cached_tokens + 1 < out.common_tokens) {
      out.kind = Kind::evicted;
      out.cost_tokens = out.common_tokens - cached_tokens;
    } else if (lost <= 1) {
      out.kind = Kind::appended;
    } else {
      find_difference(*earlier.prompt, prompt, out);
      out.cost_tokens =
          out.kind == Kind::new_conversation
              ? 0
              : std::max(
                    0, lost - std::max(0, cached_tokens - out.common_tokens));
    }
  }
  reports_.push_back(out);
  if (reports_.size() > kMostReports) {
    reports_.pop_front();
  }
  return out;
}

void PromptLog::close(
    std::shared_ptr<LoggedPrompt> prompt, const std::vector<int32_t>& answer) {
  std::lock_guard lock(mutex_);
  prompt->ids.insert(prompt->ids.end(), answer.begin(), answer.end());
  // A prompt that this one goes on from is not needed any more.
  const auto old = std::ranges::find_if(prompts_, [&](const Logged& each) {
    return each->adapter == prompt->adapter &&
           each->ids.size() <= prompt->ids.size() &&
           std::ranges::equal(
               each->ids, std::span(prompt->ids).first(each->ids.size()));
  });
  if (old != prompts_.end()) {
    bytes_ -= (*old)->bytes();
    prompts_.erase(old);
  }
  bytes_ += prompt->bytes();
  prompts_.push_back(std::move(prompt));
  while (prompts_.size() > kMostPrompts ||
         (bytes_ > kMostBytes && prompts_.size() > 1)) {
    bytes_ -= prompts_.front()->bytes();
    prompts_.pop_front();
  }
}

std::optional<CacheReport> PromptLog::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  for (auto report = reports_.rbegin(); report != reports_.rend(); ++report) {
    if (!report->id.empty() &&
        (id == report->id || id.ends_with("-" + report->id))) {
      return *report;
    }
  }
  return std::nullopt;
}

void PromptLog::clear() {
  std::lock_guard lock(mutex_);
  prompts_.clear();
  bytes_ = 0;
}

std::string line_of(const CacheReport& report) {
  std::string out = fmt::format(
      "cache: {} of {} prompt tokens, {}",
      report.cached_tokens,
      report.prompt_tokens,
      kind_name(report.kind));
  if (report.message >= 0) {
    out += fmt::format(" at message {} ({})", report.message, report.role);
  }
  if (!report.field.empty()) {
    out += fmt::format(", {}", report.field);
  }
  if (report.byte >= 0) {
    out += fmt::format(" byte {}", report.byte);
  }
  if (report.cost_tokens > 0) {
    out += fmt::format("; {} tokens evaluated again", report.cost_tokens);
  }
  return out;
}

}  // namespace rapid
