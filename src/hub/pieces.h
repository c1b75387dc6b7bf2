// A range of one file over several connections: pieces come in any order and
// are handed on in theirs, so that whoever writes and hashes them sees a plain
// stream. At most `at_once` pieces are in memory.
//
// Any failure ends it: what was handed on is right, the rest can be asked for
// in another way. Hand-on and progress run on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"

namespace rapid {

struct PieceRequest {
  std::string url;
  std::string bearer;
  std::string etag;  // that the file must still have; "" = unknown
  uint64_t from = 0;
  uint64_t to = 0;  // behind the last byte
  uint64_t piece_bytes = 0;
  int at_once = 1;
};

// Errors: cancelled, what `take` says, or a connection that failed, a server
// that takes no ranges (unsupported) or sends other ones (corrupt).
Status fetch_pieces(
    const PieceRequest& request,
    const std::function<Status(std::span<const std::byte>)>& take,
    // bytes that came but were not handed on yet; false = stop
    const std::function<bool(uint64_t)>& progress);

}  // namespace rapid
