// Ops that run at once or wait for their inputs, and what the clock notes.
#include "kernels/gated_mlp.h"
#include "kernels/op_clock.h"
#include "kernels/projection.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

ProjectionPtr make_projection(int outputs, int inputs) {
  auto out = std::make_shared<Projection>();
  const TestWeight w = make_weight({TensorType::q4_1}, outputs, inputs, 7);
  prepare(*w.weight);
  out->parts.push_back({w.weight, std::nullopt});
  return out;
}

TEST(AtOnce, SameBitsAsAWaitingNode) {
  const ProjectionPtr p = make_projection(70, 64);
  for (const int rows : {1, 3, 40}) {
    mx::array x = Random(3).array({rows, 64});
    const mx::array waiting = mx::add(x, mx::array(0.0f));
    mx::array late = project(waiting, p);
    EXPECT_FALSE(late.is_available());
    x.eval();
    const mx::array now = project(x, p);
    EXPECT_TRUE(now.is_available());
    late.eval();
    EXPECT_TRUE(same_bits(values(now), values(late))) << rows;
  }
}

TEST(AtOnce, RowsThatLieApartWait) {
  const ProjectionPtr p = make_projection(32, 64);
  mx::array wide = Random(4).array({5, 128});
  wide.eval();
  mx::array left = mx::slice(wide, {0, 0}, {5, 64});
  left.eval();
  const mx::array copy = mx::contiguous(left);
  EXPECT_TRUE(same_bits(values(project(left, p)), values(project(copy, p))));
}

TEST(OpClock, NotesBytesAndOperations) {
  const ProjectionPtr p = make_projection(64, 96);
  mx::array x = Random(5).array({2, 96});
  x.eval();
  project(x, p).eval();  // not noted
  start_op_clock();
  project(x, p).eval();
  mx::array waiting = project(mx::add(x, x), p);
  waiting.eval();
  const std::vector<OpRecord> records = stop_op_clock();
  ASSERT_EQ(records.size(), 2u);
  for (const OpRecord& record : records) {
    EXPECT_EQ(record.op, "projection");
    EXPECT_EQ(record.bytes, 64u * 96 / 32 * 20);  // of a row's block of 32
    EXPECT_EQ(record.operations, 2u * 64 * 96 * 2);
    EXPECT_GE(record.seconds, 0);
  }
  EXPECT_LE(records[0].start, records[1].start);
  project(x, p).eval();
  start_op_clock();
  EXPECT_TRUE(stop_op_clock().empty());
}

}  // namespace
}  // namespace rapid::testing
