// What crosses between the front process and its worker: plain messages, each
// a length, a kind and the fields of one value in order.
//
// Both ends are the same program: numbers are in the machine's own byte order,
// and Hello carries the version. Decoding is total: any bytes give a message or
// an Error, and no more memory than a small multiple of the bytes received.
//
//   send(encode(WireSubmit{id, request}));
//   WireReader reader;
//   reader.feed(bytes);
//   RAPID_TRY(auto message, reader.next());  // none yet, or one
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "engine/engine.h"

namespace rapid {

constexpr uint32_t kWireVersion = 7;
constexpr size_t kWireMost = 256u << 20;  // bytes of one message

// To the worker; the first one is Hello.
struct WireHello {
  uint32_t version = kWireVersion;
  EngineOptions options;
};
struct WireSubmit {
  RequestId id = 0;
  GenerateRequest request;
};
struct WireCancel {
  RequestId id = 0;
  int choice = -1;
};
struct WireClearCache {};
struct WirePing {
  uint64_t number = 0;
};

// To the front; the first one is Ready or LoadFailed.
struct WireReady {
  EngineInfo info;
};
struct WireLoadFailed {
  Error error;
};
struct WireEvent {
  RequestId id = 0;
  EngineEvent event;
};
// Sent several times a second, and for a ping. A worker that computes nothing
// for long shows in stats.last_progress_seconds.
struct WirePulse {
  uint64_t ping = 0;  // the last one seen
  EngineStats stats;
};

using WireMessage = std::variant<
    WireHello,
    WireSubmit,
    WireCancel,
    WireClearCache,
    WirePing,
    WireReady,
    WireLoadFailed,
    WireEvent,
    WirePulse>;

std::string encode(const WireMessage& message);  // with its length

// Errors: corrupt. `bytes`: one message without its length.
Result<WireMessage> decode(std::string_view bytes);

// Messages out of a stream of bytes. An error is final.
class WireReader {
 public:
  void feed(std::string_view bytes);
  Result<std::optional<WireMessage>> next();

 private:
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace rapid
