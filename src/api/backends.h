// Backends: the models behind this server, as routes see them. A route asks
// for the one that a request names and uses it; whether that is loaded,
// loading or evicted is the Backend's business: its submit() takes requests
// at any time and answers when it can.
//
//   RAPID_TRY(const auto backend, backend_for(context, name));
//   run_request(request, writer, stream, backend, standard_error_body);
//
// Threads: any thread may call any method.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/backend.h"
#include "base/result.h"

namespace rapid {

class ApiContext;

enum class ModelState { evicted, loading, loaded, failed };
std::string_view state_name(ModelState state);

// What listings tell of a served model. Plain values.
struct ModelStatus {
  ModelCard card;      // before the first load: its names alone
  bool known = false;  // it was loaded once: the card is whole
  ModelState state = ModelState::loaded;
  std::string doing;   // while it loads: how far it is
  std::string reason;  // why the load failed, or nothing can run
  bool pinned = false;
  int open_requests = 0;  // those that wait for the model, too
  double idle_seconds = 0;
  double ttl_seconds = 0;       // idle for so long it is unloaded; 0 = never
  uint64_t memory_bytes = 0;    // its part of the limit, while it has one
  uint64_t resident_bytes = 0;  // that its engine's process holds
  uint64_t loads = 0;
};

struct LoadWish {
  std::string model;          // MODEL: any name it is served by, or on disk
  std::optional<bool> pin;    // none: as it was
  std::optional<double> ttl;  // seconds
};

class Backends {
 public:
  virtual ~Backends() = default;

  // In the order they came; the first is the default. Never empty.
  virtual std::vector<ModelStatus> list() const = 0;

  // What clients call them, in the same order. Cheap, unlike list().
  virtual std::vector<std::string> names() const = 0;

  // By any of its names; "" and "default" are the first. Null: nobody has it.
  virtual std::shared_ptr<Backend> find(std::string_view model) const = 0;
  virtual std::optional<ModelStatus> status(std::string_view model) const = 0;

  // Begins to load, if it must, and tells how that stands. `done` is called
  // once, on any thread, maybe before this returns: it is loaded, or why not.
  // An Error here: done is not called.
  using LoadDone = std::function<void(const Result<ModelStatus>&)>;
  virtual Status load(const LoadWish& wish, LoadDone done) = 0;

  // Waits for open requests, then frees its memory. A model that was not
  // named at the start and has nothing to free leaves the list.
  virtual Status unload(std::string_view model, LoadDone done) = 0;
};

// One that is always loaded.
std::shared_ptr<Backends> only_backend(std::shared_ptr<Backend> backend);

// Nobody is called so; the hint tells who is here.
Error not_served(std::string_view model, const Backends& backends);

// The backend of a request that says "model": `name`, or "<name>:<adapter>" of
// one of its adapters, which its requests then have; what it is given shows in
// the context's ActivityLog. Errors: not_found with param "model"; busy while
// the server has no model yet.
Result<std::shared_ptr<Backend>> backend_for(
    const ApiContext& context, std::string_view name);

// How the model of a name that backend_for() takes stands. Errors: the same.
Result<ModelStatus> status_for(
    const ApiContext& context, std::string_view name);

// Every model of the list, and behind it what its adapters make of it.
std::vector<ModelStatus> list_with_adapters(const Backends& models);

}  // namespace rapid
