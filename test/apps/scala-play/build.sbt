name := "Shop Front"
