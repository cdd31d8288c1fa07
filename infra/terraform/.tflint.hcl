plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Fifty variables in one file are too many: variables_*.tf.
rule "terraform_standard_module_structure" {
  enabled = false
}
