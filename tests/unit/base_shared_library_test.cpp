#include <gtest/gtest.h>

#include "base/shared_library.h"

namespace rapid {
namespace {

double cosine_of_nobody(double) {
  return 2;
}

TEST(SharedLibrary, NothingIsFoundInWhatIsNotThere) {
  const SharedLibrary none({"librapid-mlx-has-no-such-library.so.7"});
  double (*cosine)(double) = cosine_of_nobody;
  EXPECT_FALSE(none.find("cos", cosine));
  EXPECT_EQ(cosine, nullptr);
}

TEST(SharedLibrary, TheFirstThatIsThere) {
  const SharedLibrary library(
      {"librapid-mlx-has-no-such-library.so.7",
       "libm.so.6",
       "libSystem.B.dylib"});
  double (*cosine)(double) = nullptr;
  ASSERT_TRUE(library.find("cos", cosine));
  EXPECT_EQ(cosine(0.0), 1.0);
  EXPECT_FALSE(library.find("no_such_function", cosine));
}

}  // namespace
}  // namespace rapid
