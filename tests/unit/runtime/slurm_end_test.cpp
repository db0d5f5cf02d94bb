// What `scontrol show job` says of a job that has ended, by the states Slurm documents.
#include <gtest/gtest.h>

#include "runtime/executors/slurm_cluster.h"

namespace stook::detail {
namespace {

std::string shown(const std::string& state, const std::string& reason, const std::string& code) {
  return "JobId=17 JobName=stook-1-1\n   UserId=root(0) GroupId=root(0) MCS_label=N/A\n"
         "   JobState=" +
         state + " Reason=" + reason + " Dependency=(null)\n   Requeue=0 Restarts=0 BatchFlag=1 " +
         "Reboot=0 ExitCode=" + code + "\n   RunTime=00:00:05 TimeLimit=00:01:00\n" +
         "   ReqNodeList=(null) ExcNodeList=n[8-9]\n   NodeList=n[3-4]\n   BatchHost=n3\n";
}

struct Case {
  const char* state;
  const char* reason;
  const char* code;
  const char* cause;
  Blame blame;
};

TEST(SlurmEnd, EachStateIsToldApart) {
  for (const Case& one : {
           Case{"NODE_FAIL", "NodeDown", "0:0", "lost its node", Blame::infrastructure},
           Case{"BOOT_FAIL", "None", "0:0", "does not boot", Blame::infrastructure},
           Case{"PREEMPTED", "None", "0:0", "was preempted", Blame::infrastructure},
           Case{"CANCELLED", "None", "0:15", "was cancelled", Blame::infrastructure},
           Case{"PENDING", "BeginTime", "0:15", "was requeued", Blame::infrastructure},
           Case{"REQUEUE_HOLD", "job_requeued_in_held_state", "0:0", "is held",
                Blame::infrastructure},
           Case{"RUNNING", "None", "0:0", "was requeued", Blame::infrastructure},
           Case{"TIMEOUT", "TimeLimit", "0:15", "reached its time limit", Blame::unclear},
           Case{"DEADLINE", "None", "0:15", "reached its deadline", Blame::unclear},
           Case{"OUT_OF_MEMORY", "OutOfMemory", "0:125", "ran out of memory", Blame::unclear},
           Case{"FAILED", "RaisedSignal:9(Killed)", "0:9", "signal 9", Blame::unclear},
           Case{"FAILED", "RaisedSignal:11", "0:11", "signal 11", Blame::task},
           Case{"FAILED", "NonZeroExitCode", "127:0", "exit status 127", Blame::task},
           Case{"COMPLETED", "None", "0:0", "COMPLETED", Blame::unclear},
       }) {
    const WorkerEnd end = slurm_end(shown(one.state, one.reason, one.code));
    EXPECT_EQ(end.blame, one.blame) << one.state << ' ' << one.code;
    EXPECT_NE(end.cause.find(one.cause), std::string::npos) << one.state << ": " << end.cause;
    EXPECT_NE(end.cause.find("Slurm job 17"), std::string::npos) << end.cause;
  }
}

TEST(SlurmEnd, TheNodeIsTheOneOfTheScript) {
  EXPECT_EQ(slurm_node(shown("FAILED", "NonZeroExitCode", "1:0")), "n3");
  EXPECT_EQ(slurm_node("JobId=3 JobState=CANCELLED\n   NodeList=\n"), "");
}

TEST(SlurmEnd, AJobThatSlurmHasForgottenIsNobodysFault) {
  const WorkerEnd end = slurm_end("slurm_load_jobs error: Invalid job id specified\n");
  EXPECT_EQ(end.blame, Blame::infrastructure);
  EXPECT_NE(end.cause.find("not known"), std::string::npos) << end.cause;
}

}  // namespace
}  // namespace stook::detail
