// ResponseStore: the responses of /v1/responses, found again by their ids:
// what a client may go on from, fetch or delete, and those under way. In a
// SQLite file, so that a restart keeps them, or in memory. Bounded by bytes:
// conversations used longest ago go first.
//
// An id is "resp_" + kIdSize random characters; ids of its items carry the
// same characters, so an item leads to its response. A response is seen only
// by the owner (the API key) that asked for it.
//
// Threads: any. What fails on disk is logged, and then not kept.
//
//   auto store = ResponseStore::open(folder / "responses.sqlite");
//   store->put({.id = id, .response = ..., .input = items});
//   RAPID_TRY(auto turns, store->conversation(previous, owner));
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct StoredResponse {
  std::string id;
  std::string owner;     // "" = no keys are in use
  std::string previous;  // the response it went on from, "" = none
  Json response;         // as it was sent
  Json input;            // its own input items, each with an id
};

// One under way.
class RunningResponse {
 public:
  virtual ~RunningResponse() = default;
  virtual Json snapshot() = 0;
  virtual Json input_items() = 0;
  // It ends as cancelled, soon. Not from inside a sink.
  virtual void cancel() = 0;
};

class ResponseStore {
 public:
  static constexpr size_t kIdSize = 32;
  static constexpr uint64_t kBytes = uint64_t{64} << 20;

  // A path whose file cannot be used is told on the log: then in memory.
  static std::shared_ptr<ResponseStore> open(
      const std::filesystem::path& path, uint64_t byte_cap = kBytes);
  static std::shared_ptr<ResponseStore> in_memory(uint64_t byte_cap = kBytes);
  ~ResponseStore();

  static std::string new_id();  // "resp_..."
  // The `number`th item of a response: msg_<its characters>_<number>.
  static std::string item_id(
      std::string_view kind, std::string_view response_id, std::string number);

  void put(const StoredResponse& response);
  std::optional<StoredResponse> get(
      const std::string& id, const std::string& owner);
  bool erase(const std::string& id, const std::string& owner);
  // From the first response to `id`. not_found: one of them is not there.
  Result<std::vector<StoredResponse>> conversation(
      const std::string& id, const std::string& owner);
  // An item that came from or went out with a stored response.
  std::optional<Json> item(const std::string& id, const std::string& owner);

  void began(
      const std::string& id,
      const std::string& owner,
      const std::weak_ptr<RunningResponse>& response);
  // Null: none of that name is under way.
  std::shared_ptr<RunningResponse> running(
      const std::string& id, const std::string& owner);

 private:
  struct Table;
  struct Run {
    std::string owner;
    std::weak_ptr<RunningResponse> response;
  };

  ResponseStore(std::unique_ptr<Table> table, uint64_t byte_cap);

  std::mutex mutex_;
  std::unique_ptr<Table> table_;
  uint64_t byte_cap_;
  std::map<std::string, Run> running_;
};

// A response as openapi.h describes it.
Json response_shape();

}  // namespace rapid
