#include <gtest/gtest.h>

#include "api/billing_header.h"
#include "api/openai_messages.h"
#include "base/json.h"

namespace rapid {
namespace {

constexpr const char* kHeader =
    "x-anthropic-billing-header: cc_version=2.1.330.e1f; cch=00000;";

TEST(BillingHeader, OnlyTheFirstLineGoes) {
  const std::string header = kHeader;
  EXPECT_EQ(without_billing_header(header), "");
  EXPECT_EQ(without_billing_header(header + "\n"), "");
  EXPECT_EQ(without_billing_header(header + "\n\nYou are."), "You are.");
  EXPECT_EQ(without_billing_header(header + "\r\nA\n\nB\n"), "A\n\nB\n");
  EXPECT_EQ(
      without_billing_header("You are.\n" + header), "You are.\n" + header);
  EXPECT_EQ(without_billing_header(""), "");
}

chat::Request read(const Json& messages) {
  const Json body = {{"messages", messages}};
  chat::Request request;
  const Status done = read_openai_messages(Fields(body), request);
  EXPECT_TRUE(done) << done.error().what;
  return request;
}

TEST(BillingHeader, IsNoPartOfASystemPromptHoweverItIsSent) {
  const std::string text = std::string(kHeader) + "\nYou are.";
  const Json parts = Json::array(
      {{{"type", "text"}, {"text", kHeader}},
       {{"type", "text"}, {"text", "You are."}}});
  for (const Json& content : {Json(text), parts}) {
    const auto request = read(Json::array(
        {{{"role", "system"}, {"content", content}},
         {{"role", "user"}, {"content", content}}}));
    EXPECT_EQ(request.messages[0].content, "You are.");
    EXPECT_EQ(request.messages[1].content, text);  // a user may quote it
  }
}

// A mark for somebody's cache is no text.
TEST(BillingHeader, NorAreMarksOfACache) {
  const Json marked = Json::array(
      {{{"type", "text"},
        {"text", "You are."},
        {"cache_control", {{"type", "ephemeral"}}}}});
  const auto request =
      read(Json::array({{{"role", "system"}, {"content", marked}}}));
  EXPECT_EQ(request.messages[0].content, "You are.");
}

}  // namespace
}  // namespace rapid
