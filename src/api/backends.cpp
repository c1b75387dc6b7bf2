#include "api/backends.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "api/activity.h"
#include "api/route.h"
#include "api/wrapped_backend.h"

namespace rapid {
namespace {

class OnlyBackend final : public Backends {
 public:
  explicit OnlyBackend(std::shared_ptr<Backend> backend)
      : backend_(std::move(backend)) {}

  std::vector<ModelStatus> list() const override { return {now()}; }

  std::vector<std::string> names() const override {
    return {backend_->card().id()};
  }

  std::shared_ptr<Backend> find(std::string_view model) const override {
    const bool is_it = model.empty() || backend_->card().answers_to(model);
    return is_it ? backend_ : nullptr;
  }

  std::optional<ModelStatus> status(std::string_view model) const override {
    return find(model) ? std::optional(now()) : std::nullopt;
  }

  Status load(const LoadWish& wish, LoadDone done) override {
    if (!find(wish.model)) {
      return not_served(wish.model, *this);
    }
    done(now());
    return {};
  }

  Status unload(std::string_view model, LoadDone) override {
    if (!find(model)) {
      return not_served(model, *this);
    }
    return Error{
        ErrorCode::unsupported,
        "this server has one model, which stays",
        "",
        "model"};
  }

 private:
  ModelStatus now() const {
    const EngineStats stats = backend_->stats();
    return {
        .card = backend_->card(),
        .known = true,
        .reason = stats.trouble,
        .open_requests = stats.waiting + stats.running,
        .idle_seconds = stats.last_progress_seconds,
        .memory_bytes = backend_->card().memory.limit,
        .resident_bytes = stats.resident_bytes,
        .loads = 1};
  }

  std::shared_ptr<Backend> backend_;
};

// A model whose requests have an adapter.
class AdaptedBackend final : public WrappedBackend {
 public:
  AdaptedBackend(std::shared_ptr<Backend> backend, std::string adapter)
      : WrappedBackend(std::move(backend)), adapter_(std::move(adapter)) {}

  ModelCard card() const override { return backend_->card().adapted(adapter_); }
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    RAPID_TRY(const chat::Request adapted, with_adapter(request));
    return backend_->submit(adapted, std::move(sink));
  }
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override {
    RAPID_TRY(const chat::Request adapted, with_adapter(request));
    return backend_->tokenise(adapted);
  }

 private:
  Result<chat::Request> with_adapter(chat::Request request) const {
    if (!request.adapter.empty() && request.adapter != adapter_) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format(
              "the model is named with the adapter \"{}\", the request asks "
              "for \"{}\"",
              adapter_,
              request.adapter),
          "leave one of them out",
          "adapter"};
    }
    request.adapter = adapter_;
    return request;
  }

  std::string adapter_;
};

struct NamedModel {
  std::string_view model;  // a name that Backends know
  std::string adapter;     // "" = none
  std::shared_ptr<Backend> backend;
};

Result<NamedModel> named_model(
    const ApiContext& context, std::string_view name) {
  const auto models = context.models();
  if (!models) {
    return Error{
        ErrorCode::busy, "the model is still loading", "try again in a moment"};
  }
  if (auto backend = models->find(name)) {
    return NamedModel{name, "", std::move(backend)};
  }
  // Names of models may have a colon, those of adapters have none.
  const size_t colon = name.rfind(':');
  const auto backend = colon == std::string_view::npos
                           ? nullptr
                           : models->find(name.substr(0, colon));
  const auto adapters =
      backend ? backend->card().adapters : std::vector<std::string>();
  if (adapters.empty()) {
    return not_served(name, *models);
  }
  const std::string adapter(name.substr(colon + 1));
  if (std::ranges::find(adapters, adapter) == adapters.end()) {
    return Error{
        ErrorCode::not_found,
        fmt::format(
            "the model \"{}\" has no adapter \"{}\"",
            name.substr(0, colon),
            adapter),
        fmt::format("adapters: {}", fmt::join(adapters, ", ")),
        "model"};
  }
  return NamedModel{name.substr(0, colon), adapter, backend};
}

}  // namespace

std::string_view state_name(ModelState state) {
  constexpr std::string_view kNames[] = {
      "evicted", "loading", "loaded", "failed"};
  return kNames[static_cast<int>(state)];
}

std::shared_ptr<Backends> only_backend(std::shared_ptr<Backend> backend) {
  return std::make_shared<OnlyBackend>(std::move(backend));
}

Error not_served(std::string_view model, const Backends& backends) {
  std::string names;
  for (const std::string& each : backends.names()) {
    names += fmt::format("\"{}\", ", each);
  }
  names.resize(names.size() - 2);
  return {
      ErrorCode::not_found,
      fmt::format("the model \"{}\" is not loaded here", model),
      fmt::format("use {} or \"default\"", names),
      "model"};
}

Result<std::shared_ptr<Backend>> backend_for(
    const ApiContext& context, std::string_view name) {
  RAPID_TRY(const NamedModel named, named_model(context, name));
  if (named.adapter.empty()) {
    return watched_backend(named.backend, context.activity);
  }
  return watched_backend(
      std::make_shared<AdaptedBackend>(named.backend, named.adapter),
      context.activity);
}

Result<ModelStatus> status_for(
    const ApiContext& context, std::string_view name) {
  RAPID_TRY(const NamedModel named, named_model(context, name));
  auto status = context.models()->status(named.model);
  if (!status) {  // it was unloaded just now
    return not_served(name, *context.models());
  }
  if (!named.adapter.empty()) {
    status->card = status->card.adapted(named.adapter);
  }
  return *std::move(status);
}

std::vector<ModelStatus> list_with_adapters(const Backends& models) {
  std::vector<ModelStatus> out;
  for (const ModelStatus& model : models.list()) {
    out.push_back(model);
    for (const std::string& adapter : model.card.adapters) {
      out.push_back(model);
      out.back().card = model.card.adapted(adapter);
    }
  }
  return out;
}

}  // namespace rapid
