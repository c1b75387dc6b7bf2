#include "hub/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "hub/file_writer.h"
#include "hub/http_get.h"
#include "hub/pieces.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

constexpr int kTries = 4;  // three again after the first
constexpr double kProgressSeconds = 0.1;

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string header(const HttpReply& reply, const char* name) {
  const auto found = reply.headers.find(name);
  return found == reply.headers.end() ? "" : found->second;
}

Error mismatch(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the source does not carry the expected file; try another one"};
}

class Download {
 public:
  Download(const DownloadRequest& request, const DownloadProgress& progress)
      : request_(request),
        progress_(progress),
        part_(request.target.string() + ".part"),
        etag_path_(request.target.string() + ".part.etag") {}

  Status run() {
    RAPID_CHECK(make_folder(request_.target.parent_path()));
    RAPID_TRY(const std::string etag, read_optional_text(etag_path_));
    etag_ = etag;
    // Without an ETag or a hash nothing would tell a mix of two files.
    RAPID_CHECK(writer_.open(part_, !etag_.empty() || known_hash()));
    const uint64_t expected = request_.expected_bytes;
    if (expected != 0 && writer_.size() > expected) {
      RAPID_CHECK(writer_.restart());
    }
    if (expected != 0) {
      RAPID_CHECK(check_free_space(
          request_.target.parent_path(), expected - writer_.size()));
    }
    if (expected == 0 || writer_.size() < expected) {
      RAPID_CHECK(fetch());
    }
    return finish();
  }

 private:
  bool known_hash() const { return !request_.expected_sha256.empty(); }

  // Over several connections, while all goes well; the rest, and servers that
  // take no ranges, in one stream.
  Status fetch() {
    const uint64_t expected = request_.expected_bytes;
    if (known_hash() && request_.at_once > 1 &&
        expected > writer_.size() + 2 * request_.piece_bytes) {
      const Status done = fetch_pieces(
          {.url = request_.url,
           .bearer = request_.bearer,
           .etag = etag_,
           .from = writer_.size(),
           .to = expected,
           .piece_bytes = request_.piece_bytes,
           .at_once = request_.at_once},
          [this](std::span<const std::byte> bytes) {
            return writer_.write(bytes);
          },
          [this](uint64_t waiting) {
            waiting_ = waiting;
            return report(false);
          });
      waiting_ = 0;
      if (done || done.error().code == ErrorCode::cancelled) {
        return done;
      }
    }
    return fetch_stream();
  }

  Status fetch_stream() {
    for (int left = kTries - 1;; --left) {
      const uint64_t before = writer_.size();
      const HttpOutcome out =
          http_get({request_.url, request_.bearer, before, etag_}, sink());
      if (out.status) {
        return {};
      }
      if (out.reply.status == 416 && before != 0) {
        // The range is past the end: the part is of another file.
        RAPID_CHECK(writer_.restart());
      } else if (!out.transient) {
        return out.status;
      }
      if (writer_.size() > before) {
        left = kTries - 1;  // it goes on, if slowly
      }
      if (left <= 0) {
        return out.status;
      }
      RAPID_CHECK(wait(kTries - left));
    }
  }

  Status wait(int nth) {
    const double until = now_seconds() + 0.25 * (1 << (2 * nth - 2));
    while (now_seconds() < until) {
      if (!report(true)) {
        return Error{ErrorCode::cancelled, "the download was stopped"};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return {};
  }

  HttpSink sink() {
    HttpSink sink;
    sink.begin = [this](const HttpReply& reply) { return begin(reply); };
    sink.body = [this](std::span<const std::byte> bytes) {
      return body(bytes);
    };
    sink.keep_going = [this] { return report(false); };
    return sink;
  }

  Status begin(const HttpReply& reply) {
    if (writer_.size() != 0 && !continues(reply)) {
      RAPID_CHECK(writer_.restart());
    }
    if (const std::string length = header(reply, "content-length");
        !length.empty()) {
      total_ = writer_.size() + number(length);
    }
    const uint64_t expected = request_.expected_bytes;
    if (expected != 0 && total_ != 0 && total_ != expected) {
      return mismatch(fmt::format(
          "{} has {} bytes, expected {}", request_.url, total_, expected));
    }
    // A hub names the sha256 of a large file before it sends it.
    std::string linked = reply.linked_etag;
    std::erase(linked, '"');
    if (known_hash() && linked.size() == request_.expected_sha256.size() &&
        linked != request_.expected_sha256) {
      return mismatch(fmt::format(
          "{} has sha256 {}, expected {}",
          request_.url,
          linked,
          request_.expected_sha256));
    }
    std::string etag = header(reply, "etag");
    if (etag.starts_with("W/")) {
      etag.clear();  // a weak one is no promise of equal bytes
    }
    if (etag != etag_) {
      etag_ = etag;
      std::ofstream(etag_path_, std::ios::binary) << etag_;
    }
    return {};
  }

  // Does the body go on where the part ends? A 200 is the whole file again.
  bool continues(const HttpReply& reply) const {
    if (reply.status != 206) {
      return false;
    }
    const std::string range = header(reply, "content-range");
    return range.starts_with("bytes ") &&
           number(std::string_view(range).substr(6)) == writer_.size();
  }

  Status body(std::span<const std::byte> bytes) {
    const uint64_t expected = request_.expected_bytes;
    if (expected != 0 && writer_.size() + bytes.size() > expected) {
      RAPID_CHECK(writer_.restart());
      return mismatch(fmt::format(
          "{} sends more than the expected {} bytes", request_.url, expected));
    }
    return writer_.write(bytes);
  }

  bool report(bool always) {
    if (!progress_) {
      return true;
    }
    const double now = now_seconds();
    if (!always && now - reported_ < kProgressSeconds) {
      return true;
    }
    reported_ = now;
    return progress_(
        writer_.size() + waiting_,
        request_.expected_bytes != 0 ? request_.expected_bytes : total_);
  }

  Status finish() {
    const uint64_t expected = request_.expected_bytes;
    if (expected != 0 && writer_.size() != expected) {
      return mismatch(fmt::format(
          "{} ended after {} of {} bytes",
          request_.url,
          writer_.size(),
          expected));
    }
    if (known_hash()) {
      const std::string got = writer_.sha256();
      if (got != request_.expected_sha256) {
        std::error_code ignored;
        fs::remove(part_, ignored);
        fs::remove(etag_path_, ignored);
        return mismatch(fmt::format(
            "{} has sha256 {}, expected {}",
            request_.url,
            got,
            request_.expected_sha256));
      }
    }
    RAPID_CHECK(writer_.commit(request_.target));
    std::error_code ignored;
    fs::remove(etag_path_, ignored);
    report(true);
    return {};
  }

  const DownloadRequest& request_;
  const DownloadProgress& progress_;
  fs::path part_;
  fs::path etag_path_;
  std::string etag_;
  FileWriter writer_;
  uint64_t total_ = 0;
  uint64_t waiting_ = 0;  // in pieces that came before their turn
  double reported_ = 0;
};

}  // namespace

Status download_file(
    const DownloadRequest& request, const DownloadProgress& progress) {
  return Download(request, progress).run();
}

Result<std::string> file_sha256(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return Error{
        ErrorCode::io, "cannot read " + path.string(), "", path.string()};
  }
  Sha256 hash;
  std::string buffer(1 << 20, '\0');
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update(std::as_bytes(
        std::span(buffer).first(static_cast<size_t>(in.gcount()))));
  }
  if (in.bad()) {
    return Error{
        ErrorCode::io, "cannot read " + path.string(), "", path.string()};
  }
  return hash.hex();
}

}  // namespace rapid
