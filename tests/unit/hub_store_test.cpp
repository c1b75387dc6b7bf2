#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "hub/catalogue.h"
#include "hub/hub_repository.h"
#include "hub/store.h"
#include "hub/user_aliases.h"
#include "unit/scoped_env.h"
#include "unit/temp_folder.h"
#include "unit/tiny_http.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using test::http_answer;
using test::ScopedEnv;
using test::TempFolder;
using test::TinyHttp;
using testing::HasSubstr;

// No test here may see the user's own cache, token or hub.
struct StoreTest : testing::Test {
  TempFolder folder;
  ScopedEnv cache{"HF_HUB_CACHE", (folder.path() / "hub").string()};
  ScopedEnv token{"HF_TOKEN", "sesame"};
  ScopedEnv endpoint{"HF_ENDPOINT", "http://127.0.0.1:9"};
  Store store{folder.path() / "models"};

  void sparse(const std::string& name, uint64_t bytes) {
    fs::resize_file(folder.write(name, ""), bytes);
  }

  // A snapshot as huggingface_hub lays it out.
  void snapshot(const std::string& ref) {
    const std::string base = "hub/models--org--name/";
    folder.write(base + "refs/" + ref, "abc123");
    folder.write(base + "snapshots/abc123/config.json", "{}");
    folder.write(base + "snapshots/abc123/model.safetensors", "12345");
  }
};

TEST_F(StoreTest, FindsAliasesOfTheRightSizeOnly) {
  const CatalogueEntry& entry = catalogue()[0];
  const std::string place = "models/" + entry.alias + "/" + entry.file;
  auto path = store.locate(entry.alias);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::not_found);
  EXPECT_THAT(path.error().hint, HasSubstr("rapid-mlx pull " + entry.alias));
  sparse(place, entry.bytes - 1);
  EXPECT_FALSE(store.locate(entry.alias));
  sparse(place, entry.bytes);
  path = store.locate(entry.alias);
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(*path, folder.path() / place);
  EXPECT_EQ(*store.pull(entry.alias), *path);
  auto list = store.list();
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].name, entry.alias);
  EXPECT_EQ((*list)[0].bytes, entry.bytes);
  EXPECT_EQ(*store.remove(entry.alias), entry.bytes);
  EXPECT_FALSE(store.locate(entry.alias));
  EXPECT_EQ(store.remove(entry.alias).error().code, ErrorCode::not_found);
}

TEST_F(StoreTest, FindsPaths) {
  const auto file = folder.write("x/m.gguf", "GGUF");
  EXPECT_EQ(*store.locate(file.string()), file);
  EXPECT_EQ(*store.locate(file.parent_path().string()), file.parent_path());
  for (const char* name : {"/no/such/folder", "./none", "none.gguf"}) {
    auto path = store.locate(name);
    ASSERT_FALSE(path) << name;
    EXPECT_THAT(path.error().what, HasSubstr("no folder or .gguf file"));
    EXPECT_FALSE(store.pull(name)) << name;
  }
  auto removed = store.remove(file.string());
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(fs::exists(file));
}

TEST_F(StoreTest, AnAliasOfTheHubIsItsRepository) {
  const CatalogueEntry* entry = find_in_catalogue("gpt-oss");
  ASSERT_NE(entry, nullptr);
  EXPECT_THAT(store.locate("gpt-oss").error().hint, HasSubstr("pull gpt-oss"));
  const std::string place = "models/" + entry->sources[0].hub->repository;
  folder.write(place + "/config.json", "{}");
  folder.write(place + "/model.safetensors", "12345");
  EXPECT_EQ(*store.locate("gpt-oss"), folder.path() / place);
  EXPECT_EQ(*store.locate("GPT-OSS"), folder.path() / place);
  ASSERT_TRUE(store.remove(entry->alias));
  EXPECT_FALSE(store.locate("gpt-oss"));
}

TEST_F(StoreTest, UsersNamesComeFirst) {
  const ScopedEnv home{"RAPID_MLX_HOME", folder.path().string()};
  EXPECT_TRUE(user_aliases()->empty());
  ASSERT_TRUE(set_user_alias("work", "org/name"));
  ASSERT_TRUE(set_user_alias("mine", catalogue()[0].alias));
  EXPECT_EQ(
      *user_aliases(),
      (std::vector<UserAlias>{
          {"mine", catalogue()[0].alias}, {"work", "org/name"}}));
  snapshot("main");
  EXPECT_EQ(*store.locate("work"), *store.locate("org/name"));
  EXPECT_THAT(store.locate("mine").error().what, HasSubstr("mine"));
  // No chains, no odd names.
  EXPECT_FALSE(set_user_alias("other", "work"));
  EXPECT_FALSE(set_user_alias("org/name", "org/name"));
  EXPECT_FALSE(set_user_alias("../x", "org/name"));
  EXPECT_FALSE(set_user_alias("x", "x"));
  ASSERT_TRUE(remove_user_alias("work"));
  EXPECT_FALSE(remove_user_alias("work"));
  EXPECT_FALSE(store.locate("work"));
  // A file that is something else is left alone.
  folder.write("aliases.json", "[1]");
  EXPECT_EQ(set_user_alias("a", "b/c").error().code, ErrorCode::corrupt);
}

TEST_F(StoreTest, OffersTheClosestAlias) {
  std::string alias = catalogue()[0].alias;
  alias.erase(2, 1);
  auto path = store.locate(alias);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::not_found);
  EXPECT_THAT(
      path.error().what, HasSubstr("did you mean " + catalogue()[0].alias));
  EXPECT_THAT(path.error().hint, HasSubstr("rapid-mlx models"));
  EXPECT_THAT(
      store.pull("zzzzzzzzzzzz").error().what,
      testing::Not(HasSubstr("did you mean")));
  EXPECT_FALSE(store.locate(""));
  EXPECT_FALSE(store.remove("../models"));
}

TEST_F(StoreTest, ReadsTheHubsOwnCache) {
  snapshot("main");
  const fs::path where =
      folder.path() / "hub/models--org--name/snapshots/abc123";
  EXPECT_EQ(*store.locate("org/name"), where);
  EXPECT_EQ(*store.locate("org/name@abc123"), where);
  EXPECT_FALSE(store.locate("org/name@other"));
  auto list = store.list();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].name, "org/name");
  EXPECT_EQ((*list)[0].bytes, 7u);
  EXPECT_TRUE((*list)[0].foreign);
  auto removed = store.remove("org/name");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(fs::exists(where));
  folder.write(
      "hub/models--org--name/snapshots/abc123/model.safetensors.index.json",
      R"({"weight_map":{"a":"model.safetensors","b":"absent.safetensors"}})");
  EXPECT_FALSE(store.locate("org/name")) << "a shard is missing";
}

// A hub with one repository of two shards.
struct PullTest : StoreTest {
  const std::string weights = std::string(5000, 'w');
  std::atomic<int> fetched = 0;
  std::atomic<int> broken = 0;
  TinyHttp hub{[this](const std::string& request) { return answer(request); }};
  ScopedEnv at{"HF_ENDPOINT", hub.url("/")};

  std::string answer(const std::string& request) {
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    if (path == "/api/models/org/name/revision/main?blobs=true") {
      return http_answer("200 OK", R"({"siblings": [
          {"rfilename": "config.json", "size": 2},
          {"rfilename": "model.safetensors", "size": 5000},
          {"rfilename": "consolidated.safetensors", "size": 5000},
          {"rfilename": "../evil.json", "size": 2},
          {"rfilename": ".hidden.json", "size": 2},
          {"rfilename": "README.md", "size": 9},
          {"rfilename": "4bit/config.json", "size": 3},
          {"rfilename": "4bit/model.safetensors", "size": 4},
          {"rfilename": "4bit/old/model.safetensors", "size": 4}]})");
    }
    if (path.ends_with("/main?blobs=true")) {
      return other_repository(path);
    }
    if (path == "/org/toy/resolve/main/config.json") {
      return http_answer("200 OK", R"({"model_type": "toy"})");
    }
    if (path == "/org/name/resolve/main/4bit/config.json") {
      return http_answer("200 OK", "{ }");
    }
    if (path == "/org/name/resolve/main/4bit/model.safetensors") {
      return http_answer("200 OK", "four");
    }
    if (path == "/org/name/resolve/main/config.json") {
      return http_answer("200 OK", "{}");
    }
    if (path == "/org/name/resolve/main/model.safetensors") {
      ++fetched;
      return broken-- > 0 ? http_answer("404 Not Found", "")
                          : http_answer("200 OK", weights);
    }
    return http_answer("404 Not Found", "");
  }

  // As the hub tells of a GGUF file: it has read it.
  static std::string other_repository(const std::string& path) {
    if (path.find("/org/gguf/") != std::string::npos) {
      return http_answer("200 OK", R"({"siblings": [
          {"rfilename": "m.gguf", "size": 5000}],
          "gguf": {"architecture": "toy"}})");
    }
    return http_answer("200 OK", R"({"siblings": [
        {"rfilename": "a.json", "size": 2},
        {"rfilename": "config.json", "size": 21},
        {"rfilename": "model.safetensors", "size": 5000}]})");
  }
};

TEST_F(PullTest, AnArchitectureThatIsNotAcceptedIsNotFetched) {
  PullHooks hooks;
  std::vector<std::string> asked;
  hooks.accepts = [&](const std::string& architecture) -> Status {
    asked.push_back(architecture);
    return Error{ErrorCode::unsupported, "no " + architecture};
  };
  const CatalogueEntry& entry = catalogue()[0];
  for (const std::string& name :
       {std::string("org/toy"), std::string("org/gguf"), entry.alias}) {
    const auto path = store.pull(name, hooks);
    ASSERT_FALSE(path) << name;
    EXPECT_EQ(path.error().code, ErrorCode::unsupported);
  }
  EXPECT_THAT(asked, testing::ElementsAre("toy", "toy", entry.architecture));
  for (const std::string& request : hub.requests()) {
    EXPECT_EQ(request.find("safetensors"), std::string::npos) << request;
    EXPECT_EQ(request.find("gguf "), std::string::npos) << request;
    EXPECT_EQ(request.find("a.json"), std::string::npos) << request;
  }
  EXPECT_TRUE(fs::is_empty(folder.path() / "models/.partial"));
  // One that says nothing of itself is fetched.
  EXPECT_TRUE(store.pull("org/name", hooks));
}

TEST_F(PullTest, FetchesARepository) {
  PullHooks hooks;
  uint64_t done = 0;
  hooks.progress = [&](const PullProgress& progress) {
    done = std::max(done, progress.done);
  };
  auto path = store.pull("org/name", hooks);
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(*path, folder.path() / "models/org/name");
  EXPECT_EQ(test::read_all(*path / "model.safetensors"), weights);
  EXPECT_EQ(done, weights.size());
  EXPECT_FALSE(fs::exists(*path / "README.md"));
  EXPECT_FALSE(fs::exists(*path / "consolidated.safetensors"));
  EXPECT_THAT(hub.requests().at(0), HasSubstr("Bearer sesame"));
  EXPECT_EQ(store.list()->at(0).name, "org/name");
  EXPECT_EQ(*store.pull("org/name"), *path);
  EXPECT_EQ(fetched, 1);
  EXPECT_EQ(*store.remove("org/name"), weights.size() + 2);
  EXPECT_FALSE(fs::exists(folder.path() / "models/org"));
}

TEST_F(PullTest, FetchesAFolderOfARepository) {
  const std::string name = "org/name/4bit";
  auto path = store.pull(name);
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(*path, folder.path() / "models/org/name/4bit");
  EXPECT_EQ(test::read_all(*path / "model.safetensors"), "four");
  EXPECT_EQ(test::read_all(*path / "config.json"), "{ }");
  EXPECT_FALSE(fs::exists(*path / "old"));
  EXPECT_EQ(*store.locate(name), *path);
  EXPECT_FALSE(store.locate("org/name")) << "only its folder is here";
  ASSERT_EQ(store.list()->size(), 1u);
  EXPECT_EQ(store.list()->at(0).name, name);
  // Both beside each other; one goes, the other stays.
  ASSERT_TRUE(store.pull("org/name"));
  EXPECT_EQ(store.list()->size(), 2u);
  EXPECT_EQ(*store.remove(name), 7u);
  EXPECT_FALSE(store.locate(name));
  EXPECT_TRUE(store.locate("org/name"));
  EXPECT_TRUE(store.remove("org/name"));
  EXPECT_FALSE(fs::exists(folder.path() / "models/org"));
}

TEST_F(StoreTest, FindsAFolderInTheCacheOfTheHubsOwnTools) {
  snapshot("main");
  const std::string base = "hub/models--org--name/snapshots/abc123/4bit/";
  folder.write(base + "config.json", "{}");
  const auto weights = folder.write(base + "model.safetensors", "1234");
  EXPECT_EQ(*store.locate("org/name/4bit"), weights.parent_path());
  ASSERT_EQ(store.list()->size(), 2u);
  EXPECT_EQ(store.list()->at(1).name, "org/name/4bit");
}

TEST_F(PullTest, AFailedPullInstallsNothingAndGoesOnLater) {
  broken = 1;
  auto path = store.pull("org/name");
  ASSERT_FALSE(path);
  EXPECT_THAT(path.error().what, HasSubstr("404"));
  EXPECT_FALSE(store.locate("org/name"));
  EXPECT_TRUE(store.list()->empty());
  ASSERT_TRUE(store.pull("org/name"));
  int configs = 0;
  for (const std::string& request : hub.requests()) {
    configs += request.find("/config.json ") != std::string::npos;
  }
  EXPECT_EQ(configs, 1);
}

TEST_F(PullTest, TheSecondOfTwoPullsWaitsForTheFirst) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      good +=
          static_cast<bool>(Store(folder.path() / "models").pull("org/name"));
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(good, 4);
  EXPECT_EQ(fetched, 1);
}

TEST_F(PullTest, StopsWhenTold) {
  PullHooks hooks;
  hooks.cancelled = [] { return true; };
  auto path = store.pull("org/name", hooks);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::cancelled);
}

TEST_F(PullTest, TellsTheReasonOfEverySource) {
  const auto python = folder.write(
      "bin/python3", "#!/bin/sh\necho 'ERROR: no index' >&2; exit 1\n");
  fs::permissions(python, fs::perms::owner_all);
  const ScopedEnv path("PATH", (folder.path() / "bin").string());
  std::vector<std::string> notes;
  PullHooks hooks;
  hooks.note = [&](const std::string& note) { notes.push_back(note); };
  auto pulled = store.pull(catalogue()[0].alias, hooks);
  ASSERT_FALSE(pulled);
  ASSERT_EQ(catalogue()[0].sources.size(), 2u);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(pulled.error().what, HasSubstr("404"));
  EXPECT_THAT(pulled.error().what, HasSubstr("ERROR: no index"));
  EXPECT_FALSE(store.locate(catalogue()[0].alias));
  EXPECT_TRUE(store.list()->empty());
}

Json siblings(const std::vector<std::string>& names) {
  Json list = Json::array();
  for (const std::string& name : names) {
    list.push_back({{"rfilename", name}, {"size", 1}});
  }
  return {{"siblings", list}};
}

TEST(ChooseFiles, TakesWhatAModelNeeds) {
  const HubSource source{"org/name", "main", ""};
  auto files = choose_files(
      siblings({"a.gguf", "pytorch_model.bin", "README.md"}), source);
  ASSERT_TRUE(files);
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ((*files)[0].name, "a.gguf");
  files = choose_files(siblings({"a.gguf", "b.gguf"}), source);
  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().what, HasSubstr("a.gguf, b.gguf"));
  EXPECT_THAT(files.error().hint, HasSubstr("org/name/FILE"));
  files = choose_files(
      siblings({"a.gguf", "b.gguf"}), {"org/name", "main", "b.gguf"});
  ASSERT_TRUE(files);
  EXPECT_EQ((*files)[0].name, "b.gguf");
  files = choose_files(siblings({"pytorch_model.bin"}), source);
  EXPECT_EQ(files.error().code, ErrorCode::unsupported);
  EXPECT_FALSE(choose_files(Json("text"), source));
  files = choose_files(siblings({"x"}), {"org/name", "main", "y.gguf"});
  EXPECT_EQ(files.error().code, ErrorCode::not_found);
  files = choose_files(
      siblings({"README.md", "4bit/m.safetensors", "8bit/m.safetensors"}),
      source);
  EXPECT_EQ(files.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(files.error().what, HasSubstr("in folders: 4bit, 8bit"));
  EXPECT_THAT(files.error().hint, HasSubstr("org/name/FOLDER"));
}

}  // namespace
}  // namespace rapid
