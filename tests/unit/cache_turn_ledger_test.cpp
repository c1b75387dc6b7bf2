#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/json.h"
#include "cache/turn_ledger.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<int32_t>;
using By = LedgerMatch::By;

class TurnLedgerTest : public testing::Test {
 protected:
  TurnLedger::Options options() const {
    return {.path = folder_.path() / "ledger.sqlite", .scope = "model"};
  }
  fs::path file() const { return options().path; }

  test::TempFolder folder_;
};

TurnChain chain_of(const std::string& question) {
  TurnChain chain;
  chain.add("user", {question, {}});
  return chain;
}

TEST(CanonicalArguments, OneFormForOneMeaning) {
  const std::string form = R"({"a":1,"b":[true,{"x":2,"y":0.5}]})";
  for (const char* text :
       {R"({"a":1,"b":[true,{"x":2,"y":0.5}]})",
        R"( {"b": [true, {"y": 5e-1, "x": 2.0}], "a": 1.0} )",
        R"("{\"b\":[true,{\"y\":0.5,\"x\":2}],\"a\":1}")"}) {
    EXPECT_EQ(canonical_arguments(text), form) << text;
  }
  for (const char* text : {"", "  \n", "null", "{}", "{ }", "\"{}\""}) {
    EXPECT_EQ(canonical_arguments(text), "{}") << text;
  }
  EXPECT_EQ(canonical_arguments("{\"a\": "), R"("{\"a\":")");
  EXPECT_NE(
      canonical_arguments("{\"a\":\"1\"}"), canonical_arguments("{\"a\":1}"));
  EXPECT_NE(canonical_arguments("[1,2]"), canonical_arguments("[2,1]"));
}

TEST_F(TurnLedgerTest, FindsTheTurnThatComesBackChanged) {
  TurnLedger ledger(options());
  const Tokens tokens = {1, 2, 3, -4, 1 << 30};
  const LedgerTurn sent{
      "\n\nI look.", {{"call_1", "read", R"({"path":"a","limit":10})"}}};
  ledger.record(chain_of("q"), sent, tokens, true);

  const LedgerTurn returned{
      "I look.", {{"toolu_77", "read", R"({ "limit" : 10.0, "path":"a"})"}}};
  const auto match = ledger.find(chain_of(" q\n"), returned);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->tokens, tokens);
  EXPECT_EQ(match->by, By::place);

  LedgerTurn edited = returned;
  edited.calls[0].arguments = R"({"limit":11,"path":"a"})";
  EXPECT_FALSE(ledger.find(chain_of("q"), edited));
  edited = returned;
  edited.calls[0].name = "write";
  EXPECT_FALSE(ledger.find(chain_of("q"), edited));
  edited = returned;
  edited.text = "I look!";
  EXPECT_FALSE(ledger.find(chain_of("q"), edited));
}

// The same text of two adapters may be other tokens.
TEST_F(TurnLedgerTest, GroupsDoNotSeeEachOther) {
  TurnLedger ledger(options());
  const LedgerTurn turn{"I look.", {{"call_1", "read", "{}"}}};
  TurnChain of_one("one");
  of_one.add("user", {"q", {}});
  ledger.record(of_one, turn, Tokens{1, 2}, false);
  EXPECT_FALSE(ledger.find(chain_of("q"), turn));
  EXPECT_FALSE(ledger.find(TurnChain("two"), turn));
  EXPECT_TRUE(ledger.find(of_one, turn));
  EXPECT_TRUE(ledger.find(TurnChain("one"), turn)) << "by the call's id";
}

TEST_F(TurnLedgerTest, ReasoningStaysInItsConversation) {
  TurnLedger ledger(options());
  ledger.record(chain_of("secret"), {"OK", {}}, Tokens{1, 2}, true);
  EXPECT_FALSE(ledger.find(chain_of("other"), {"OK", {}}));
  ledger.record(chain_of("plain"), {"OK", {}}, Tokens{7}, false);
  const auto match = ledger.find(chain_of("other"), {"OK", {}});
  ASSERT_TRUE(match);
  EXPECT_EQ(match->tokens, Tokens{7});
  EXPECT_EQ(match->by, By::content);
  EXPECT_EQ(
      ledger.find(chain_of("secret"), {"OK", {}})->tokens, (Tokens{1, 2}));
}

TEST_F(TurnLedgerTest, ACallsIdLeadsToATurnWhoseTextWasDropped) {
  TurnLedger ledger(options());
  const LedgerTurn sent{
      "Now.", {{"call_9", "ls", "{}"}, {"call_10", "ls", "{}"}}};
  ledger.record(chain_of("q"), sent, Tokens{5, 6}, true);
  LedgerTurn returned{"", {{"call_9", "ls", ""}, {"x", "ls", "{ }"}}};
  const auto match = ledger.find(chain_of("moved"), returned);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->tokens, (Tokens{5, 6}));
  EXPECT_EQ(match->by, By::call_id);
  returned.text = "Other.";
  EXPECT_FALSE(ledger.find(chain_of("moved"), returned));
  returned.text = "";
  returned.calls[1].name = "rm";
  EXPECT_FALSE(ledger.find(chain_of("moved"), returned));
}

TEST_F(TurnLedgerTest, ScopesAreApart) {
  {
    TurnLedger(options()).record(chain_of("q"), {"a", {}}, Tokens{1}, false);
  }
  auto other = options();
  other.scope = "another model";
  EXPECT_FALSE(TurnLedger(other).find(chain_of("q"), {"a", {}}));
  EXPECT_TRUE(TurnLedger(options()).find(chain_of("q"), {"a", {}}));
}

TEST_F(TurnLedgerTest, TheSamePlaceIsWrittenOnce) {
  TurnLedger ledger(options());
  for (int i = 0; i < 5; ++i) {
    ledger.record(chain_of("q"), {"a", {}}, Tokens{i, i}, true);
  }
  EXPECT_EQ(ledger.stats().turns, 1u);
  EXPECT_EQ(ledger.stats().bytes, 8u);
  EXPECT_EQ(ledger.find(chain_of("q"), {"a", {}})->tokens, (Tokens{4, 4}));
  ledger.clear();
  EXPECT_EQ(ledger.stats().turns, 0u);
  EXPECT_FALSE(ledger.find(chain_of("q"), {"a", {}}));
}

TEST_F(TurnLedgerTest, AsTheTemplateWritesItWhateverComesLater) {
  TurnLedger ledger(options());
  const LedgerTurn turn{"", {{"call_1", "ls", "{}"}}};
  ledger.record(chain_of("q"), turn, Tokens{}, false);
  EXPECT_EQ(ledger.stats().turns, 0u);
  EXPECT_FALSE(ledger.find(chain_of("other"), turn));
  ledger.record(chain_of("other"), turn, Tokens{1, 2}, false);
  const auto match = ledger.find(chain_of("q"), turn);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->by, By::place);
  EXPECT_TRUE(match->tokens.empty());
  EXPECT_EQ(ledger.find(chain_of("third"), turn)->tokens, (Tokens{1, 2}));
  // What was known stays known.
  ledger.record(chain_of("other"), turn, Tokens{}, false);
  EXPECT_EQ(ledger.find(chain_of("other"), turn)->tokens, (Tokens{1, 2}));
  ledger.record(chain_of("q"), turn, Tokens{3}, false);
  EXPECT_EQ(ledger.find(chain_of("q"), turn)->tokens, Tokens{3});
}

TEST_F(TurnLedgerTest, TheLeastRecentlyUsedGo) {
  auto small = options();
  small.max_bytes = 400;
  TurnLedger ledger(small);
  for (int i = 0; i < 50; ++i) {
    ledger.record(chain_of("q"), {std::to_string(i), {}}, Tokens(10, i), true);
    ASSERT_TRUE(ledger.find(chain_of("q"), {"0", {}})) << i;
    ASSERT_LE(ledger.stats().bytes, 400u);
  }
  EXPECT_EQ(ledger.stats().turns, 10u);
  EXPECT_FALSE(ledger.find(chain_of("q"), {"30", {}}));
  EXPECT_TRUE(ledger.find(chain_of("q"), {"49", {}}));
}

// Against a map: random turns, written and sent back with every mutation.
TEST_F(TurnLedgerTest, ThousandsOfTurnsComeBack) {
  TurnLedger ledger(options());
  std::mt19937 random(3);
  std::vector<std::tuple<TurnChain, LedgerTurn, Tokens>> emitted;
  TurnChain chain;
  for (int i = 0; i < 2000; ++i) {
    if (random() % 20 == 0) {
      chain = chain_of(std::to_string(i));
    }
    LedgerTurn turn{"turn " + std::to_string(random() % 50), {}};
    for (unsigned c = random() % 3; c > 0; --c) {
      Json arguments = {{"n", random() % 1000}, {"s", "x y"}, {"f", 0.25}};
      turn.calls.push_back(
          {"call_" + std::to_string(random()), "tool", arguments.dump()});
    }
    Tokens tokens(1 + random() % 30);
    for (auto& token : tokens) {
      token = static_cast<int32_t>(random() % 150000);
    }
    ledger.record(chain, turn, tokens, true);
    emitted.emplace_back(chain, turn, tokens);
    chain.add("assistant", turn);
    chain.add("user", {std::to_string(i), {}});
  }
  for (auto& [place, turn, tokens] : emitted) {
    turn.text = " " + turn.text + "\n";
    for (auto& call : turn.calls) {
      call.id = "new";
      const Json old = Json::parse(call.arguments);
      Json turned = Json::object();
      for (const char* key : {"f", "s", "n"}) {
        turned[key] = old[key];
      }
      call.arguments = turned.dump(2);
    }
    const auto match = ledger.find(place, turn);
    ASSERT_TRUE(match);
    ASSERT_EQ(match->tokens, tokens);
  }
}

TEST_F(TurnLedgerTest, ADamagedFileIsSetAside) {
  for (const bool whole : {true, false}) {
    {
      TurnLedger(options()).record(chain_of("q"), {"a", {}}, Tokens{1}, false);
    }
    if (whole) {
      std::ofstream(file(), std::ios::binary) << std::string(5000, 'x');
    } else {
      std::fstream hole(
          file(), std::ios::in | std::ios::out | std::ios::binary);
      hole.seekp(4096);
      hole << std::string(4096, '\xee');
    }
    TurnLedger ledger(options());
    EXPECT_FALSE(ledger.find(chain_of("q"), {"a", {}}));
    EXPECT_FALSE(ledger.stats().disabled);
    ledger.record(chain_of("q"), {"b", {}}, Tokens{2}, false);
    EXPECT_TRUE(ledger.find(chain_of("q"), {"b", {}}));
    EXPECT_TRUE(fs::exists(file().string() + ".damaged"));
    fs::remove(file().string() + ".damaged");
  }
}

// A flipped bit inside a row, which SQLite does not see.
TEST_F(TurnLedgerTest, ADamagedRowIsNeverServed) {
  const Tokens marked(64, 0x5a5a5a5a);
  {
    TurnLedger(options()).record(chain_of("q"), {"a", {}}, marked, false);
  }
  std::string bytes = test::read_all(file());
  const size_t at = bytes.find(std::string(200, 'Z'));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 50] = 'Y';
  std::ofstream(file(), std::ios::binary) << bytes;
  TurnLedger ledger(options());
  EXPECT_EQ(ledger.stats().turns, 1u);
  EXPECT_FALSE(ledger.find(chain_of("q"), {"a", {}}));
  EXPECT_EQ(ledger.stats().turns, 0u);
}

TEST_F(TurnLedgerTest, WithoutAFolderItGoesOnWithout) {
  auto blocked = options();
  folder_.write("file", "");
  blocked.path = folder_.path() / "file" / "ledger.sqlite";
  TurnLedger ledger(blocked);
  EXPECT_TRUE(ledger.stats().disabled);
  ledger.record(chain_of("q"), {"a", {}}, Tokens{1}, false);
  EXPECT_FALSE(ledger.find(chain_of("q"), {"a", {}}));
}

}  // namespace
}  // namespace rapid
