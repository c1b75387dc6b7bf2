// Who gets in: hosts, origins, keys and their limits. No sockets.
#include <gtest/gtest.h>

#include "server/gate.h"
#include "temp_folder.h"

namespace rapid {
namespace {

Caller at(std::string host, std::string origin = "") {
  return {
      .host = std::move(host),
      .origin = std::move(origin),
      .local = "192.168.1.5"};
}

Caller with_key(const std::string& key) {
  return {.authorization = "Bearer " + key};
}

TEST(Gate, Hosts) {
  const Gate gate({.allow_hosts = {"My.example"}, .host = "box.lan"});
  for (const char* host :
       {"",
        "localhost",
        "LocalHost:8000",
        "localhost.:8000",
        "app.localhost:1",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "[::1]",
        "192.168.1.5:8000",
        "box.lan:8000",
        "my.example"}) {
    EXPECT_EQ(gate.check(at(host)).status, 0) << host;
  }
  for (const char* host :
       {"evil.example",
        "127.evil.example",
        "127.0.0.1.evil.example:8000",
        "localhost.evil.example",
        "192.168.1.6",
        "notlocalhost",
        "[::2]",
        "[::1"}) {
    // A bracket that is never closed is still read as ::1, as browsers do.
    const int expected = std::string_view(host) == "[::1" ? 0 : 403;
    EXPECT_EQ(gate.check(at(host)).status, expected) << host;
  }
  const Gate open({.allow_hosts = {"*"}});
  EXPECT_EQ(open.check(at("evil.example")).status, 0);
}

TEST(Gate, Origins) {
  const Gate gate({.cors_origins = {"https://ui.example"}});
  for (const char* origin :
       {"", "null", "app://x", "http://localhost:8000", "https://UI.example"}) {
    EXPECT_EQ(gate.check(at("localhost:8000", origin)).status, 0) << origin;
  }
  for (const char* origin :
       {"https://evil.example", "http://localhost:3000", "http://ui.example"}) {
    EXPECT_EQ(gate.check(at("localhost:8000", origin)).status, 403) << origin;
  }
  EXPECT_TRUE(gate.cors(at("localhost", "")).empty());
  EXPECT_EQ(gate.cors(at("localhost", "app://x")).size(), 1u) << "vary alone";
  const auto headers = gate.cors(at("localhost", "https://ui.example"));
  ASSERT_GE(headers.size(), 2u);
  EXPECT_EQ(headers[1].first, "access-control-allow-origin");
  EXPECT_EQ(headers[1].second, "https://ui.example");
  EXPECT_TRUE(Gate({}).cors(at("localhost", "https://ui.example")).empty());
}

TEST(Gate, KeysAndOwners) {
  Gate gate({.keys = {plain_key("a", "ann"), plain_key("b", "bob")}});
  int key = 0;
  EXPECT_EQ(gate.admit(with_key("a"), 0, key).status, 0);
  EXPECT_EQ(gate.name(key), "ann");
  const std::string ann = gate.owner(key);
  EXPECT_EQ(gate.admit({.api_key = "b"}, 0, key).status, 0);
  EXPECT_EQ(gate.name(key), "bob");
  EXPECT_NE(gate.owner(key), ann);
  for (const Caller& caller : {with_key("c"), with_key(""), Caller{}}) {
    EXPECT_EQ(gate.admit(caller, 0, key).status, 401);
    EXPECT_EQ(key, Gate::kNoKey);
  }
  EXPECT_EQ(gate.owner(Gate::kNoKey), "");
  Gate open({});
  EXPECT_EQ(open.admit({}, 0, key).status, 0);
  open.leave(key);
}

TEST(Gate, LimitsPerKey) {
  ApiKey few = plain_key("few", "few");
  few.most_open = 1;
  ApiKey slow = plain_key("slow", "slow");
  slow.per_minute = 2;
  Gate gate({.keys = {few, slow}});
  int first = 0;
  int key = 0;
  EXPECT_EQ(gate.admit(with_key("few"), 0, first).status, 0);
  EXPECT_EQ(gate.admit(with_key("few"), 0, key).status, 429);
  gate.leave(key);  // nothing was counted
  EXPECT_EQ(gate.admit(with_key("few"), 0, key).status, 429);
  gate.leave(first);
  EXPECT_EQ(gate.admit(with_key("few"), 0, key).status, 0);

  EXPECT_EQ(gate.admit(with_key("slow"), 100, key).status, 0);
  EXPECT_EQ(gate.admit(with_key("slow"), 110, key).status, 0);
  const Refusal refusal = gate.admit(with_key("slow"), 120, key);
  EXPECT_EQ(refusal.status, 429);
  ASSERT_EQ(refusal.headers.size(), 1u);
  EXPECT_EQ(refusal.headers[0].second, "40");
  EXPECT_EQ(gate.admit(with_key("slow"), 160, key).status, 0);
  EXPECT_EQ(gate.admit(with_key("slow"), 161, key).status, 429);
}

TEST(Gate, KeysFile) {
  const test::TempFolder folder;
  // printf secret | sha256sum
  const std::string hash =
      "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
  const auto good = folder.write(
      "keys",
      "# people\n\n" + hash + "  ann at-once=2 per-minute=30  # a comment\n" +
          std::string(64, 'A') + "\n");
  const auto keys = read_api_keys(good);
  ASSERT_TRUE(keys) << keys.error().what;
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].name, "ann");
  EXPECT_EQ((*keys)[0].most_open, 2);
  EXPECT_EQ((*keys)[0].per_minute, 30);
  EXPECT_EQ((*keys)[1].name, "line-4");
  Gate gate({.keys = *keys});
  int key = 0;
  EXPECT_EQ(gate.admit(with_key("secret"), 0, key).status, 0);
  for (const std::string& text :
       {std::string("secret ann\n"),
        hash + " ann at-once=-1\n",
        hash + " ann fast\n",
        std::string("# nobody\n")}) {
    const auto bad = read_api_keys(folder.write("bad", text));
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().param, "--api-keys-file");
  }
  EXPECT_FALSE(read_api_keys(folder.path() / "none"));
}

}  // namespace
}  // namespace rapid
