#include "base/clock.h"
#include "pool/pool_entry.h"

namespace rapid {

ModelCard PoolBackend::card() const {
  std::lock_guard lock(pool_->mutex_);
  return entry_->card;
}

Result<Ticket> PoolBackend::submit(
    const chat::Request& request, ChatSink sink) {
  return pool_->submit(entry_, request, std::move(sink));
}

void PoolBackend::cancel(Ticket ticket) {
  pool_->cancel(entry_, ticket);
}

Result<std::vector<std::vector<int32_t>>> PoolBackend::tokenise(
    const chat::Request& request) const {
  RAPID_TRY(const auto held, pool_->lease_soon(entry_));
  return (*held)->tokenise(request);
}

std::shared_ptr<const TextCodec> PoolBackend::codec() const {
  const auto held = pool_->lease_soon(entry_);
  return held ? (**held)->codec() : nullptr;
}

EngineStats PoolBackend::stats() const {
  EngineStats out;
  const auto held = pool_->lease(entry_);
  if (held) {
    out = (*held)->stats();
  }
  std::lock_guard lock(pool_->mutex_);
  if (!held && entry_->waiting.empty()) {
    out.last_progress_seconds = now_seconds() - entry_->last_used;
  }
  const EngineStats& past = entry_->past;
  out.waiting += static_cast<int>(entry_->waiting.size());
  out.parked += past.parked;
  out.prompt_tokens += past.prompt_tokens;
  out.cached_tokens += past.cached_tokens;
  out.generated_tokens += past.generated_tokens;
  out.drafted_tokens += past.drafted_tokens;
  out.accepted_tokens += past.accepted_tokens;
  out.evicted_prompts += past.evicted_prompts;
  out.restarts += past.restarts;
  return out;
}

FrontStats PoolBackend::front_stats() const {
  FrontStats out;
  if (const auto held = pool_->lease(entry_)) {
    out = (*held)->front_stats();
  }
  std::lock_guard lock(pool_->mutex_);
  const FrontStats& past = entry_->past_front;
  out.redecoded += past.redecoded;
  out.not_redecoded += past.not_redecoded;
  out.strict += past.strict;
  out.loops_broken += past.loops_broken;
  out.thoughts_closed += past.thoughts_closed;
  return out;
}

std::optional<chat::CacheReport> PoolBackend::explain(
    const std::string& id) const {
  const auto held = pool_->lease(entry_);
  return held ? (*held)->explain(id) : std::nullopt;
}

LedgerStats PoolBackend::ledger_stats() const {
  const auto held = pool_->lease(entry_);
  return held ? (*held)->ledger_stats() : LedgerStats{};
}

void PoolBackend::clear_cache() {
  if (const auto held = pool_->lease(entry_)) {
    return (*held)->clear_cache();
  }
  std::lock_guard lock(pool_->mutex_);
  entry_->forget = true;
  pool_->wake();
}

}  // namespace rapid
