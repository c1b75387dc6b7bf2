#include "engine/replay_model.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/utf8.h"
#include "formats/reasoning.h"

namespace rapid {
namespace {

// Where a chat's template variables name the recording.
constexpr const char* kNumber = "recording";
constexpr std::string_view kMark = "recording ";

class RecordedStream final : public TextStream {
 public:
  RecordedStream(
      const std::map<int32_t, RecordedText>& texts,
      std::vector<std::string> kept,
      int32_t bytes_from)
      : texts_(texts), kept_(std::move(kept)), bytes_from_(bytes_from) {}

  std::string push(int32_t id) override {
    if (id >= bytes_from_) {
      held_ += static_cast<char>(id - bytes_from_);
    } else if (const auto found = texts_.find(id); found != texts_.end()) {
      const RecordedText& text = found->second;
      if (!text.special ||
          std::ranges::find(kept_, text.bytes) != kept_.end()) {
        held_ += text.bytes;
      }
    }
    const size_t whole = utf8_complete_prefix(held_);
    std::string out = utf8_replace_invalid(held_.substr(0, whole));
    held_.erase(0, whole);
    return out;
  }
  std::string flush() override {
    return utf8_replace_invalid(std::exchange(held_, ""));
  }

 private:
  const std::map<int32_t, RecordedText>& texts_;
  std::vector<std::string> kept_;
  int32_t bytes_from_;
  std::string held_;
};

// Recorded ids have their recorded text; any other text is its bytes, one id
// each, behind the vocabulary.
class RecordedCodec final : public TextCodec {
 public:
  explicit RecordedCodec(std::shared_ptr<const ReplayShelf> shelf)
      : shelf_(std::move(shelf)) {
    for (int i = 0; i < shelf_->size(); ++i) {
      const Recording& recording = shelf_->at(i);
      vocabulary_ = std::max(vocabulary_, recording.model.vocabulary);
      texts_.insert(recording.text.begin(), recording.text.end());
    }
    source_ = shelf_->at(shelf_->size() - 1).model.chat_template;
  }

  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions&) const override {
    if (text.starts_with(kMark)) {
      const int number =
          std::atoi(std::string(text.substr(kMark.size())).c_str());
      return shelf_->at(number).runs.at(0).request.prompt;
    }
    std::vector<int32_t> out;
    for (const char c : text) {
      out.push_back(vocabulary_ + static_cast<unsigned char>(c));
    }
    return out;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (const int32_t id : ids) {
      out += token_bytes(id);
    }
    return utf8_replace_invalid(out);
  }
  std::string token_bytes(int32_t id) const override {
    if (id >= vocabulary_) {
      return std::string(1, static_cast<char>(id - vocabulary_));
    }
    const auto found = texts_.find(id);
    return found == texts_.end() ? "" : found->second.bytes;
  }
  int32_t size() const override { return vocabulary_; }
  std::unique_ptr<TextStream> stream(
      std::span<const std::string> kept) const override {
    return std::make_unique<RecordedStream>(
        texts_,
        std::vector<std::string>(kept.begin(), kept.end()),
        vocabulary_);
  }
  std::string_view template_source() const override { return source_; }
  Result<RenderedPrompt> render(const TemplateInput& input) const override {
    RenderedPrompt out;
    out.text =
        std::string(kMark) + std::to_string(input.extra.at(kNumber).get<int>());
    return out;
  }

 private:
  std::shared_ptr<const ReplayShelf> shelf_;
  std::map<int32_t, RecordedText> texts_;
  int32_t vocabulary_ = 0;
  std::string source_;
};

}  // namespace

void ask_for(const Recording& recording, int number, chat::Request& request) {
  request.lane = std::to_string(number);
  const RecordedRun& first = recording.runs.at(0);
  request.sampling.seed = first.request.sampling.seed;
  request.choices = first.request.choices;
  if (!request.messages.empty()) {
    request.template_kwargs[kNumber] = number;
    return;
  }
  request.prompts.clear();
  for (const RecordedRun& run : recording.runs) {
    if (!run.request.resume) {
      request.prompts.emplace_back(run.request.prompt);
    }
  }
}

std::shared_ptr<const TextModel> replay_model(
    std::shared_ptr<const ReplayShelf> shelf) {
  const RecordedModel& about = shelf->at(shelf->size() - 1).model;
  auto out = std::make_shared<TextModel>();
  out->name = about.name;
  out->alias = about.alias;
  out->path = about.path;
  out->format = FormatRegistry::global().find(about.format);
  if (out->format == nullptr) {
    out->format = FormatRegistry::global().find("plain");
  }
  out->format_choice.format = out->format;
  out->reasoning =
      about.reasoning.empty() ? nullptr : find_reasoning_style(about.reasoning);
  out->end_tokens = about.end_tokens;
  out->codec = std::make_shared<RecordedCodec>(std::move(shelf));
  return out;
}

}  // namespace rapid
