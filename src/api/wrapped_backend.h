// WrappedBackend: a Backend around another that changes something about its
// requests and leaves the rest as it is. Who derives says what it changes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/backend.h"

namespace rapid {

class WrappedBackend : public Backend {
 public:
  explicit WrappedBackend(std::shared_ptr<Backend> backend)
      : backend_(std::move(backend)) {}

  ModelCard card() const override { return backend_->card(); }
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    return backend_->submit(request, std::move(sink));
  }
  void cancel(Ticket ticket) override { backend_->cancel(ticket); }
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override {
    return backend_->tokenise(request);
  }
  std::shared_ptr<const TextCodec> codec() const override {
    return backend_->codec();
  }
  EngineStats stats() const override { return backend_->stats(); }
  FrontStats front_stats() const override { return backend_->front_stats(); }
  std::optional<chat::CacheReport> explain(
      const std::string& id) const override {
    return backend_->explain(id);
  }
  LedgerStats ledger_stats() const override { return backend_->ledger_stats(); }
  void clear_cache() override { backend_->clear_cache(); }

 protected:
  const std::shared_ptr<Backend> backend_;
};

}  // namespace rapid
