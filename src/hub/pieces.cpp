#include "hub/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "hub/http_get.h"

namespace rapid {
namespace {

class Pieces {
 public:
  explicit Pieces(const PieceRequest& request)
      : request_(request),
        count_(
            (request.to - request.from + request.piece_bytes - 1) /
            request.piece_bytes) {}

  Status run(
      const std::function<Status(std::span<const std::byte>)>& take,
      const std::function<bool(uint64_t)>& progress) {
    std::vector<std::thread> workers;
    const auto most = static_cast<uint64_t>(std::max(request_.at_once, 1));
    for (uint64_t i = 0; i < std::min(most, count_); ++i) {
      workers.emplace_back([this] { work(); });
    }
    const Status done = hand_on(take, progress);
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers) {
      worker.join();
    }
    return done;
  }

 private:
  using Bytes = std::vector<std::byte>;

  Status hand_on(
      const std::function<Status(std::span<const std::byte>)>& take,
      const std::function<bool(uint64_t)>& progress) {
    for (;;) {
      Bytes piece;
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::milliseconds(100), [&] {
          return ready_.contains(handed_) || failed_;
        });
        if (const auto found = ready_.find(handed_); found != ready_.end()) {
          piece = std::move(found->second);
          ready_.erase(found);
          ++handed_;
        } else if (failed_) {
          return *failed_;
        }
      }
      changed_.notify_all();  // there is room for another
      if (!piece.empty()) {
        RAPID_CHECK(take(piece));
        waiting_ -= piece.size();
      }
      if (!progress(waiting_)) {
        return Error{ErrorCode::cancelled, "the download was stopped"};
      }
      if (handed_ == count_) {
        return {};
      }
    }
  }

  // The next piece that may be fetched; none: all are, or it is over.
  std::optional<uint64_t> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return stop_ || failed_ || started_ == count_ ||
             started_ < handed_ + static_cast<uint64_t>(request_.at_once);
    });
    return stop_ || failed_ || started_ == count_ ? std::nullopt
                                                  : std::optional(started_++);
  }

  void work() {
    while (const auto index = next()) {
      auto piece = fetch(*index);
      {
        std::lock_guard lock(mutex_);
        if (piece) {
          ready_[*index] = *std::move(piece);
        } else if (!failed_) {
          failed_ = piece.error();
        }
      }
      changed_.notify_all();
    }
  }

  Result<Bytes> fetch(uint64_t index) {
    const uint64_t from = request_.from + index * request_.piece_bytes;
    const uint64_t to = std::min(from + request_.piece_bytes, request_.to);
    Bytes out;
    out.reserve(to - from);
    HttpSink sink;
    sink.begin = [&](const HttpReply& reply) { return check(reply, from); };
    sink.body = [&](std::span<const std::byte> bytes) -> Status {
      if (out.size() + bytes.size() > to - from) {
        return Error{ErrorCode::corrupt, "more came than was asked for"};
      }
      out.insert(out.end(), bytes.begin(), bytes.end());
      waiting_ += bytes.size();
      return {};
    };
    sink.keep_going = [this] {
      std::lock_guard lock(mutex_);
      return !stop_ && !failed_;
    };
    const HttpOutcome got = http_get(
        {.url = request_.url,
         .bearer = request_.bearer,
         .resume_from = from,
         .if_range = request_.etag,
         .range_end = to},
        sink);
    RAPID_CHECK(got.status);
    if (out.size() != to - from) {
      return Error{ErrorCode::io, "a piece ended early"};
    }
    return out;
  }

  // "bytes FROM-..." of a 206.
  Status check(const HttpReply& reply, uint64_t from) const {
    if (reply.status != 206) {
      return Error{ErrorCode::unsupported, "the server takes no ranges"};
    }
    const auto range = reply.headers.find("content-range");
    uint64_t start = 0;
    if (range != reply.headers.end() && range->second.starts_with("bytes ")) {
      const char* text = range->second.data() + 6;
      const auto read = std::from_chars(
          text, range->second.data() + range->second.size(), start);
      if (read.ec == std::errc() && start == from) {
        return {};
      }
    }
    return Error{ErrorCode::corrupt, "the server sends another range"};
  }

  const PieceRequest& request_;
  const uint64_t count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Bytes> ready_;
  uint64_t started_ = 0;
  uint64_t handed_ = 0;
  bool stop_ = false;
  std::optional<Error> failed_;
  std::atomic<uint64_t> waiting_ = 0;
};

}  // namespace

Status fetch_pieces(
    const PieceRequest& request,
    const std::function<Status(std::span<const std::byte>)>& take,
    const std::function<bool(uint64_t)>& progress) {
  if (request.to <= request.from || request.piece_bytes == 0) {
    return {};
  }
  return Pieces(request).run(take, progress);
}

}  // namespace rapid
