// Supervisor: the one thread behind a WorkerEngine. It talks to the worker,
// replaces it, keeps the open requests and calls their sinks. What other
// threads want of it stands on the WorkerBoard.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "engine/open_request.h"
#include "engine/worker_engine.h"
#include "engine/worker_link.h"

namespace rapid {

struct SubmitOrder {
  RequestId id = 0;
  GenerateRequest request;
  EngineSink sink;
};
struct CancelOrder {
  RequestId id = 0;
  int choice = -1;
};
struct ClearOrder {};
using EngineOrder = std::variant<SubmitOrder, CancelOrder, ClearOrder>;

struct WorkerBoard {
  std::atomic<bool> stop = false;
  std::mutex mutex;  // of what follows
  std::condition_variable changed;
  std::deque<EngineOrder> orders;
  uint64_t pings_wanted = 0;
  uint64_t pings_seen = 0;
  bool serving = false;  // a worker is there to answer them
  EngineStats stats;
  double last_progress = 0;
};

class Supervisor {
 public:
  Supervisor(
      const EngineOptions& options,
      WorkerSettings settings,
      WorkerBoard& board);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  void wake() const;  // any thread
  const EngineInfo& info() const { return info_; }

  Status start();  // the first worker; there is no second try
  void run();      // until board.stop

 private:
  enum class Phase { resting, loading, serving };
  struct Entry {
    OpenRequest request;
    std::vector<std::pair<RequestId, int>> parts;  // in the worker
    bool sent = false;
    bool suspect = false;
    int lonely_kills = 0;  // from outside, while only it was suspected
    double not_before = 0;
  };

  void launch();
  void poll_once();
  void receive();
  void handle(WireReady& message);
  void handle(WireLoadFailed& message);
  void handle(WireEvent& message);
  void handle(WirePulse& message);
  template <typename Other>
  void handle(Other& message);
  void judge();
  void lose(const std::string& why);
  void load_failed(const Error& error);
  void blame(bool killed_by_others);
  void quarantine(Entry& entry);
  void rest();
  void tidy();

  void take_orders();
  void obey(SubmitOrder& order);
  void obey(CancelOrder& order);
  void obey(ClearOrder& order);
  void pump();
  void send(RequestId id, Entry& entry);
  void forget(std::map<RequestId, Entry>::iterator entry);
  void sweep();
  void fail_all(const Error& error);
  bool working() const;
  void publish();

  EngineOptions options_;
  WorkerSettings settings_;
  WorkerBoard& board_;
  int wake_read_ = -1;
  int wake_write_ = -1;

  Phase phase_ = Phase::resting;
  std::optional<WorkerLink> link_;
  double since_ = 0;  // the phase began
  double next_launch_ = 0;
  int deaths_in_row_ = 0;  // without a sign of work between them
  int failed_loads_ = 0;   // in a row
  std::optional<Error> load_error_;
  EngineInfo info_;
  bool known_ = false;  // info_ is

  std::map<RequestId, Entry> open_;
  std::unordered_map<RequestId, std::pair<RequestId, int>> parts_;
  RequestId last_part_ = 0;
  std::deque<std::string> quarantined_;  // fingerprints, newest first
  bool clear_wanted_ = false;
  double last_open_ = 0;
  bool tidied_ = false;

  bool news_ = true;          // for the board
  EngineStats worker_stats_;  // the last pulse's
  EngineStats past_;          // counters of the workers that died
  uint64_t generated_ = 0;
  uint64_t pings_sent_ = 0;
  uint64_t pings_seen_ = 0;
  double last_progress_ = 0;
  double busy_since_ = 0;  // all requests so far were done then
};

}  // namespace rapid
