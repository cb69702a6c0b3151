package stack_test

const childVar = "CHURN_TEST_CHILD"

func child(path string) int { return 0 }
