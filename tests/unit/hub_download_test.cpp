#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <utility>

#include "hub/download.h"
#include "hub/file_writer.h"
#include "unit/temp_folder.h"
#include "unit/tiny_http.h"

namespace rapid {
namespace {

using test::http_answer;
using test::range_start;
using test::read_all;
using test::TempFolder;
using test::TinyHttp;
using testing::HasSubstr;
using testing::Not;

std::string content() {
  std::string text;
  for (int i = 0; i < 40000; ++i) {
    text += std::to_string(i);
  }
  return text;
}

std::string sha256(const std::string& text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

struct Downloading : testing::Test {
  TempFolder folder;
  std::string body = content();
  DownloadRequest request;
  std::filesystem::path part = folder.path() / "sub/file.part";

  DownloadRequest& ask(const TinyHttp& server) {
    request.url = server.url("/file");
    request.target = folder.path() / "sub/file";
    request.expected_bytes = body.size();
    request.expected_sha256 = sha256(body);
    return request;
  }

  void leave_part(const std::string& text) {
    folder.write("sub/file.part", text);
  }

  // Honours Range with a 206.
  std::string ranged(const std::string& request_text) const {
    const size_t from = range_start(request_text);
    if (from == std::string::npos) {
      return http_answer("200 OK", body, "ETag: \"one\"\r\n");
    }
    return http_answer(
        "206 Partial Content",
        body.substr(from),
        "ETag: \"one\"\r\nContent-Range: bytes " + std::to_string(from) + "-" +
            std::to_string(body.size() - 1) + "/" +
            std::to_string(body.size()) + "\r\n");
  }
};

TEST_F(Downloading, FetchesAndReportsProgress) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  uint64_t last = 0;
  const Status status =
      download_file(ask(server), [&](uint64_t done, uint64_t total) {
        EXPECT_EQ(total, body.size());
        last = done;
        return true;
      });
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(read_all(request.target), body);
  EXPECT_EQ(last, body.size());
  EXPECT_FALSE(std::filesystem::exists(part));
  EXPECT_EQ(*file_sha256(request.target), sha256(body));
}

TEST_F(Downloading, GoesOnAfterBrokenLines) {
  int nth = 0;
  TinyHttp server([&](const auto& r) {
    std::string answer = ranged(r);
    // Twice the line breaks after 50000 bytes of the body.
    return ++nth < 3 ? answer.substr(0, answer.find("\r\n\r\n") + 50004)
                     : answer;
  });
  const Status status = download_file(ask(server));
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(read_all(request.target), body);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(range_start(requests[1]), 50000u);
  EXPECT_EQ(range_start(requests[2]), 100000u);
  EXPECT_THAT(requests[1], HasSubstr("If-Range: \"one\""));
}

TEST_F(Downloading, ResumesThePartOfAnEarlierRun) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server);
  leave_part(body.substr(0, 777));
  ASSERT_TRUE(download_file(request));
  EXPECT_EQ(range_start(server.requests().at(0)), 777u);
  EXPECT_EQ(read_all(request.target), body);
}

// "bytes=A-B" of a request: both ends.
std::pair<size_t, size_t> range_of(const std::string& request) {
  const size_t at = request.find("Range: bytes=");
  const size_t dash = request.find('-', at + 13);
  return {
      std::stoul(request.substr(at + 13)),
      std::stoul(request.substr(dash + 1))};
}

TEST_F(Downloading, FetchesPiecesOverSeveralConnections) {
  TinyHttp server([&](const std::string& text) {
    const auto [from, to] = range_of(text);
    return http_answer(
        "206 Partial Content",
        body.substr(from, to + 1 - from),
        "Content-Range: bytes " + std::to_string(from) + "-" +
            std::to_string(to) + "/" + std::to_string(body.size()) + "\r\n");
  });
  leave_part(body.substr(0, 1234));
  ask(server).piece_bytes = 10000;
  uint64_t last = 0;
  const auto done = download_file(request, [&](uint64_t bytes, uint64_t total) {
    EXPECT_EQ(total, body.size());
    last = bytes;
    return true;
  });
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_EQ(read_all(request.target), body);
  EXPECT_EQ(last, body.size());
  EXPECT_EQ(server.requests().size(), (body.size() - 1234 + 9999) / 10000);
}

TEST_F(Downloading, PiecesThatFailGoOnAsOneStream) {
  std::atomic<int> asked = 0;
  TinyHttp server([&](const std::string& text) {
    if (++asked == 5) {
      return http_answer("503 Service Unavailable", "");
    }
    const size_t from = range_start(text);
    const bool piece =
        text.find("-\r\n", text.find("Range: ")) == std::string::npos;
    const size_t to = piece ? range_of(text).second : body.size() - 1;
    return http_answer(
        "206 Partial Content",
        body.substr(from, to + 1 - from),
        "Content-Range: bytes " + std::to_string(from) + "-" +
            std::to_string(to) + "/" + std::to_string(body.size()) + "\r\n");
  });
  leave_part(body.substr(0, 10));
  ask(server).piece_bytes = 10000;
  const auto done = download_file(request);
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, TakesOneStreamWhereThereAreNoRanges) {
  TinyHttp server(
      [&](const std::string&) { return http_answer("200 OK", body); });
  ask(server).piece_bytes = 10000;
  const auto done = download_file(request);
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, TakesAWholePartWithoutAsking) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server);
  leave_part(body);
  ASSERT_TRUE(download_file(request));
  EXPECT_TRUE(server.requests().empty());
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, StartsAgainWithoutHashOrEtag) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server).expected_sha256.clear();
  leave_part("something else");
  ASSERT_TRUE(download_file(request));
  EXPECT_EQ(range_start(server.requests().at(0)), std::string::npos);
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, StartsAgainWhenRangeIsIgnored) {
  TinyHttp server([&](const auto&) { return http_answer("200 OK", body); });
  ask(server);
  leave_part(body.substr(0, 777));
  const Status status = download_file(request);
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, StartsAgainWhenTheRangeIsPastTheEnd) {
  TinyHttp server([&](const auto& r) {
    return range_start(r) == std::string::npos
               ? http_answer("200 OK", body)
               : http_answer("416 Range Not Satisfiable", "");
  });
  ask(server).expected_bytes = 0;
  leave_part(body + "more");
  const Status status = download_file(request);
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(read_all(request.target), body);
}

TEST_F(Downloading, RefusesAWrongHashAndDropsThePart) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server).expected_sha256 = sha256("else");
  const Status status = download_file(request);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
  EXPECT_THAT(status.error().what, HasSubstr(sha256("else")));
  EXPECT_FALSE(std::filesystem::exists(part));
  EXPECT_FALSE(std::filesystem::exists(request.target));
}

TEST_F(Downloading, RefusesAnotherSizeBeforeItComes) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server).expected_bytes = body.size() + 1;
  const Status status = download_file(request);
  ASSERT_FALSE(status);
  EXPECT_THAT(
      status.error().what,
      HasSubstr("expected " + std::to_string(body.size() + 1)));
  EXPECT_EQ(std::filesystem::file_size(part), 0u);
}

TEST_F(Downloading, RefusesAnotherHashBeforeItComes) {
  TinyHttp server([&](const auto&) {
    return http_answer(
        "200 OK", body, "X-Linked-Etag: \"" + sha256("else") + "\"\r\n");
  });
  const Status status = download_file(ask(server));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
  EXPECT_EQ(std::filesystem::file_size(part), 0u);
}

TEST_F(Downloading, KeepsAShortBodyForTheNextTry) {
  // No length is told, so the short body looks whole to HTTP.
  TinyHttp server([&](const auto&) {
    return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body.substr(0, 100);
  });
  const Status status = download_file(ask(server));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what, HasSubstr("ended after 100 of"));
  EXPECT_EQ(std::filesystem::file_size(part), 100u);
}

TEST_F(Downloading, TellsHttpErrorsAtOnce) {
  std::string status_line = "404 Not Found";
  TinyHttp server([&](const auto&) { return http_answer(status_line, "no"); });
  Status status = download_file(ask(server));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
  EXPECT_THAT(status.error().what, HasSubstr("404"));
  status_line = "401 Unauthorized";
  status = download_file(request);
  EXPECT_EQ(status.error().code, ErrorCode::unauthorized);
  EXPECT_THAT(status.error().hint, HasSubstr("HF_TOKEN"));
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(Downloading, TriesABusyServerAgain) {
  int nth = 0;
  TinyHttp server([&](const auto& r) {
    return ++nth == 1 ? http_answer("503 Busy", "") : ranged(r);
  });
  ASSERT_TRUE(download_file(ask(server)));
  EXPECT_EQ(nth, 2);
}

TEST_F(Downloading, StopsWhenToldAndKeepsThePart) {
  TinyHttp server([&](const auto& r) { return ranged(r).substr(0, 60000); });
  const Status status = download_file(
      ask(server), [](uint64_t done, uint64_t) { return done == 0; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_GT(std::filesystem::file_size(part), 0u);
}

TEST_F(Downloading, NeverSendsTheBearerToAnotherHost) {
  TinyHttp other([&](const auto& r) { return ranged(r); });
  TinyHttp hub([&](const auto&) {
    return http_answer("302 Found", "", "Location: " + other.url() + "/x\r\n");
  });
  ask(hub).bearer = "secret";
  const Status status = download_file(request);
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_THAT(hub.requests().at(0), HasSubstr("Bearer secret"));
  EXPECT_THAT(other.requests().at(0), Not(HasSubstr("secret")));
}

TEST_F(Downloading, TellsAnUnreachableHostAtOnce) {
  int port = 0;
  {
    TinyHttp gone([](const auto&) { return ""; });
    port = gone.port();
  }
  request.url = "http://127.0.0.1:" + std::to_string(port) + "/x";
  request.target = folder.path() / "file";
  const Status status = download_file(request);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_THAT(status.error().hint, HasSubstr("HTTPS_PROXY"));
}

TEST(FreeSpace, IsToldWithNumbers) {
  TempFolder folder;
  EXPECT_TRUE(check_free_space(folder.path(), 1));
  const Status status = check_free_space(folder.path(), uint64_t{1} << 60);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what, HasSubstr("1152921504606.8 MB are needed"));
}

TEST(FileWriter, TellsAFullDisk) {
  FileWriter full;
  ASSERT_TRUE(full.open("/dev/full", false));
  const std::string text(4096, 'x');
  const Status status = full.write(std::as_bytes(std::span(text)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_THAT(status.error().what, HasSubstr("the disk is full"));
  EXPECT_THAT(status.error().hint, HasSubstr("RAPID_MLX_HOME"));
}

// Limits this process's files to `bytes` while it lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_{};
};

TEST_F(Downloading, AFailedWriteInstallsNothingAndCanGoOn) {
  TinyHttp server([&](const auto& r) { return ranged(r); });
  ask(server);
  {
    FileLimit limit(65536);
    const Status status = download_file(request);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::io);
    EXPECT_THAT(status.error().what, HasSubstr("cannot write"));
    EXPECT_FALSE(std::filesystem::exists(request.target));
    EXPECT_EQ(server.requests().size(), 1u);
  }
  ASSERT_TRUE(download_file(request));
  EXPECT_EQ(range_start(server.requests().at(1)), 65536u);
  EXPECT_EQ(read_all(request.target), body);
}

}  // namespace
}  // namespace rapid
