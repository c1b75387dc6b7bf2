// Responses that are kept: chains, owners, the bound, a restart.
#include <gtest/gtest.h>

#include "api/response_store.h"
#include "temp_folder.h"

namespace rapid {
namespace {

StoredResponse stored(
    const std::string& id,
    const std::string& previous = "",
    const std::string& text = "hi") {
  return {
      .id = id,
      .previous = previous,
      .response = {{"id", id}, {"output", Json::array({{{"id", text}}})}},
      .input = Json::array({{{"id", "in"}, {"text", text}}})};
}

TEST(ResponseStore, ConversationsInOrder) {
  const auto store = ResponseStore::in_memory();
  store->put(stored("resp_a"));
  store->put(stored("resp_b", "resp_a"));
  store->put(stored("resp_c", "resp_b"));
  const auto turns = store->conversation("resp_c", "");
  ASSERT_TRUE(turns);
  ASSERT_EQ(turns->size(), 3u);
  EXPECT_EQ(turns->front().id, "resp_a");
  EXPECT_EQ(turns->back().response["id"], "resp_c");
  EXPECT_TRUE(store->erase("resp_b", ""));
  EXPECT_FALSE(store->erase("resp_b", ""));
  const auto broken = store->conversation("resp_c", "");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::not_found);
  EXPECT_EQ(broken.error().param, "previous_response_id");
  EXPECT_TRUE(store->conversation("resp_a", ""));
}

TEST(ResponseStore, AConversationThatBitesItsTailEnds) {
  const auto store = ResponseStore::in_memory();
  store->put(stored("resp_a", "resp_a"));
  EXPECT_EQ(store->conversation("resp_a", "")->size(), 1u);
}

TEST(ResponseStore, EveryOwnerSeesTheirs) {
  const auto store = ResponseStore::in_memory();
  StoredResponse one = stored("resp_a");
  one.owner = "k1";
  store->put(one);
  EXPECT_TRUE(store->get("resp_a", "k1"));
  for (const char* other : {"", "k2"}) {
    EXPECT_FALSE(store->get("resp_a", other));
    EXPECT_FALSE(store->erase("resp_a", other));
    EXPECT_FALSE(store->conversation("resp_a", other));
    EXPECT_FALSE(store->running("resp_a", other));
  }
}

TEST(ResponseStore, UsedLongestAgoGoesFirst) {
  const auto store = ResponseStore::in_memory(5000);
  const std::string big(900, 'x');
  store->put(stored("resp_1", "", big));
  store->put(stored("resp_2", "", big));
  EXPECT_TRUE(store->conversation("resp_1", ""));  // used again
  store->put(stored("resp_3", "", big));
  EXPECT_TRUE(store->get("resp_1", ""));
  EXPECT_FALSE(store->get("resp_2", ""));
  EXPECT_TRUE(store->get("resp_3", ""));
  store->put(stored("resp_4", "", std::string(9000, 'y')));
  EXPECT_TRUE(store->get("resp_4", "")) << "the last one stays, however big";
  EXPECT_FALSE(store->get("resp_3", ""));
}

TEST(ResponseStore, OutlivesItsProcess) {
  const test::TempFolder folder;
  const auto path = folder.path() / "deep" / "responses.sqlite";
  ResponseStore::open(path)->put(stored("resp_a", "", "Grüße"));
  const auto again = ResponseStore::open(path, 5000);
  ASSERT_TRUE(again->get("resp_a", ""));
  EXPECT_EQ(again->get("resp_a", "")->input[0]["text"], "Grüße");
  again->put(stored("resp_b", "", std::string(9000, 'y')));
  EXPECT_FALSE(again->get("resp_a", "")) << "its bytes still count";
  const auto mode = std::filesystem::status(path).permissions();
  EXPECT_EQ(
      mode & (std::filesystem::perms::group_all |
              std::filesystem::perms::others_all),
      std::filesystem::perms::none);
}

TEST(ResponseStore, APlaceThatCannotBeUsedIsMemory) {
  const auto store = ResponseStore::open("/proc/nowhere/responses.sqlite");
  store->put(stored("resp_a"));
  EXPECT_TRUE(store->get("resp_a", ""));
}

TEST(ResponseStore, ItemsLeadToTheirResponse) {
  const auto store = ResponseStore::in_memory();
  const std::string id = ResponseStore::new_id();
  EXPECT_NE(id, ResponseStore::new_id());
  StoredResponse one = stored(id);
  const std::string in = ResponseStore::item_id("msg", id, "in0");
  const std::string out = ResponseStore::item_id("fc", id, "0");
  one.input[0]["id"] = in;
  one.response["output"][0]["id"] = out;
  store->put(one);
  for (const std::string& item : {in, out}) {
    ASSERT_TRUE(store->item(item, ""));
    EXPECT_EQ((*store->item(item, ""))["id"], item);
    EXPECT_FALSE(store->item(item, "other"));
  }
  for (const char* item : {"", "msg", "msg_", "msg_1"}) {
    EXPECT_FALSE(store->item(item, "")) << item;
  }
}

}  // namespace
}  // namespace rapid
