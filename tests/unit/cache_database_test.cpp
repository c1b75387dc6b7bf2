#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>

#include "cache/database.h"

namespace rapid {
namespace {

// A process that runs for days holds no more of a large file than of a small
// one.
TEST(Database, MemoryDoesNotGrowWithTheFile) {
  const auto folder =
      std::filesystem::temp_directory_path() / "rapid-database-test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  auto db = Database::open(
      folder / "a.sqlite", "CREATE TABLE t (a INTEGER, b TEXT)", 1);
  ASSERT_TRUE(db) << db.error().what;
  const auto held = [&] {
    int now = 0;
    int most = 0;
    sqlite3_db_status(db->raw(), SQLITE_DBSTATUS_CACHE_USED, &now, &most, 0);
    return now;
  };
  Statement put(*db, "INSERT INTO t VALUES (?, ?)");
  const std::string row(1000, 'x');
  for (int i = 0; i < 4000; ++i) {
    if (i % 100 == 0) {
      ASSERT_TRUE(db->run(i == 0 ? "BEGIN" : "COMMIT; BEGIN"));
    }
    ASSERT_TRUE(put.bind(int64_t{i}).bind(std::string_view(row)).run());
  }
  ASSERT_TRUE(db->run("COMMIT"));
  EXPECT_GT(db->page_bytes(), 4'000'000U);
  EXPECT_LT(held(), 2 * 1024 * Database::kCacheKiB);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rapid
