#include "api/front_backend.h"

#include <utility>

#include "formats/reasoning.h"

namespace rapid {

namespace {

ModelCard card_of(const TextModel& text, const EngineInfo& info) {
  std::string style = "none";
  if (text.chat_template != nullptr) {
    style = text.fallback_template ? "fallback" : "model";
  }
  const ReasoningStyle* reasoning =
      text.format ? reasoning_for(*text.format, text.reasoning)
                  : text.reasoning;
  return {
      .name = text.name,
      .alias = text.alias,
      .path = text.path,
      .architecture = info.architecture,
      .device = info.device,
      .threads = info.threads,
      .format = text.format ? std::string(text.format->name()) : "plain",
      .format_why = text.format_choice.why(),
      .reasoning = reasoning ? std::string(reasoning->name) : "",
      .chat_style = style,
      .created = text.created,
      .context_length = info.context_length,
      .model_context_length = info.model_context_length,
      .vocabulary = info.vocabulary,
      .parameters = info.parameters,
      .weight_bytes = info.weight_bytes,
      .memory = info.memory,
      .adapters = info.adapters};
}

class FrontBackend : public Backend {
 public:
  explicit FrontBackend(std::shared_ptr<Front> front)
      : front_(std::move(front)),
        card_(card_of(front_->model(), front_->engine().info())) {}

  ModelCard card() const override { return card_; }
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    return front_->submit(request, std::move(sink));
  }
  void cancel(Ticket ticket) override { front_->cancel(ticket); }
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override {
    return front_->tokenise(request);
  }
  std::shared_ptr<const TextCodec> codec() const override {
    return front_->model().codec;
  }
  EngineStats stats() const override { return front_->engine().stats(); }
  FrontStats front_stats() const override { return front_->stats(); }
  std::optional<chat::CacheReport> explain(
      const std::string& id) const override {
    return front_->explain(id);
  }
  LedgerStats ledger_stats() const override { return front_->ledger_stats(); }
  void clear_cache() override { front_->clear_cache(); }

 private:
  std::shared_ptr<Front> front_;
  ModelCard card_;
};

}  // namespace

std::shared_ptr<Backend> make_front_backend(std::shared_ptr<Front> front) {
  return std::make_shared<FrontBackend>(std::move(front));
}

}  // namespace rapid
