#include "api/replay_backend.h"

#include <fmt/format.h>

#include <utility>

#include "api/front_backend.h"
#include "base/log.h"
#include "engine/replay_model.h"

namespace rapid {
namespace {

// Drops what is of other choices.
ChatSink first_choices(int count, ChatSink sink) {
  return [count, sink = std::move(sink)](const chat::Event& event) {
    const int choice = std::visit(
        [](const auto& each) {
          if constexpr (requires { each.choice; }) {
            return each.choice;
          } else {
            return -1;
          }
        },
        event);
    if (choice < count) {
      sink(event);
    }
  };
}

class ReplayBackend final : public Backend {
 public:
  ReplayBackend(
      std::shared_ptr<ReplayShelf> shelf, std::shared_ptr<Backend> front)
      : shelf_(std::move(shelf)), front_(std::move(front)) {}

  ModelCard card() const override { return front_->card(); }

  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    const ReplayShelf::Choice choice = shelf_->choose(request);
    if (choice.number < 0) {
      return nothing_fits();
    }
    const Recording& recording = shelf_->at(choice.number);
    spdlog::info(
        "{}: recording {} of {} ({}), {}",
        request.id,
        choice.number + 1,
        shelf_->size(),
        recording.id,
        choice.exact ? "the same question" : "another question");
    chat::Request asked = request;
    ask_for(recording, choice.number, asked);
    if (asked.choices < request.choices ||
        (request.messages.empty() &&
         (asked.choices != request.choices ||
          asked.prompts.size() != request.prompts.size()))) {
      return Error{
          ErrorCode::invalid_argument,
          "the recording has another number of prompts or choices",
          "",
          "n"};
    }
    if (asked.choices > request.choices && !request.messages.empty()) {
      sink = first_choices(request.choices, std::move(sink));
    }
    return front_->submit(asked, std::move(sink));
  }
  void cancel(Ticket ticket) override { front_->cancel(ticket); }

  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override {
    const ReplayShelf::Choice choice = shelf_->look(request);
    if (choice.number < 0) {
      return nothing_fits();
    }
    chat::Request asked = request;
    ask_for(shelf_->at(choice.number), choice.number, asked);
    return front_->tokenise(asked);
  }

  std::shared_ptr<const TextCodec> codec() const override {
    return front_->codec();
  }
  EngineStats stats() const override { return front_->stats(); }
  FrontStats front_stats() const override { return front_->front_stats(); }

 private:
  Error nothing_fits() const {
    if (shelf_->is_script()) {
      return {
          ErrorCode::not_found,
          "the script is over: its last turn calls tools, and was given",
          "end the script with a turn that only has content",
          "messages"};
    }
    return {
        ErrorCode::not_found,
        fmt::format(
            "none of the {} recordings is of this request", shelf_->size()),
        "record it, or leave --strict out to get them in order",
        "messages"};
  }

  std::shared_ptr<ReplayShelf> shelf_;
  std::shared_ptr<Backend> front_;
};

}  // namespace

std::shared_ptr<Backend> make_replay_backend(
    std::shared_ptr<ReplayShelf> shelf, const FrontOptions& options) {
  auto front = std::make_shared<Front>(
      replay_engine(shelf), replay_model(shelf), options);
  return std::make_shared<ReplayBackend>(
      std::move(shelf), make_front_backend(std::move(front)));
}

}  // namespace rapid
